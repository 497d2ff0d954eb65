#!lua flags=allow-oom
--[[ settle.lua: confirm or release up to 128 reservations of one shard, in order, and tell the outbox once.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then per sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 epoch  2 run_id
       then per request  number of the sale, id, CONFIRM | RELEASE | SPEND, note, bytes of a Claim (of SPEND, else '')
Reply  {now, epoch, seq, settled epoch, settled seq, verdicts}, one verdict a request; only MOVED writes:
       NO_SALE / NO_RECORD    there is none; SPEND makes one in a sale that is there, RELEASED and without lines
       MOVED, record          CONFIRM sold what was held, RELEASE and SPEND gave it back
       REPLAYED, record       it stands so already: sold or, for RELEASE and SPEND, not held any more
       WRONG_STATE, record    the table of moves has no such move from here
Keeps  available + held + sold = total for every item; what is given back is given back once. ]]

local FIRST, WIDTH = 3, 5 -- where requests begin in ARGV, and how many values each has

-- What each move comes to, by the state that everyone sees: a new state, or a verdict. Any other is WRONG_STATE.
local GIVE_BACK = {
  [HELD] = RELEASED, [RELEASED] = 'REPLAYED', [EXPIRED] = 'REPLAYED', [COMPENSATED] = 'REPLAYED', [RETURNED] = 'REPLAYED',
}
local MOVES = {CONFIRM = {[HELD] = CONFIRMED, [CONFIRMED] = 'REPLAYED'}, RELEASE = GIVE_BACK, SPEND = GIVE_BACK}

local shard, refusal = open_shard()
if refusal then return refusal end

local function read_requests()
  local requests = {}
  for at = FIRST, #ARGV, WIDTH do
    requests[#requests + 1] = {
      number = tonumber(ARGV[at]), id = ARGV[at + 1], move = ARGV[at + 2], note = ARGV[at + 3], claim = ARGV[at + 4],
    }
  end
  assert(#requests <= 128, 'more than one call may carry')
  return requests
end

local function open_sales(requests)
  local ids = {}
  for _, request in ipairs(requests) do
    local number = request.number
    if not shard.sales[number] then
      load_settings(open_sale(shard, number))
      ids[number] = {}
    end
    table.insert(ids[number], request.id)
  end
  for number, sale in ipairs(shard.sales) do
    load_records(sale, ids[number])
    load_accounts(sale, ids[number])
  end
end

local function settle(sale, request, record, state)
  if request.move ~= 'CONFIRM' then record.note = request.note end
  move(shard, sale, request.id, record, state)
  return record_reply(shard, 'MOVED', record)
end

local function judge(sale, request)
  if not sale.settings then return {'NO_SALE'} end
  local record = sale.records[request.id]
  if not record then
    if request.move ~= 'SPEND' then return {'NO_RECORD'} end
    return settle(sale, request, unmade(shard, '', parse_asked(''), request.claim, 0), RELEASED)
  end
  local outcome = MOVES[request.move][seen_state(shard, record)]
  if type(outcome) == 'number' then return settle(sale, request, record, outcome) end
  return record_reply(shard, outcome or 'WRONG_STATE', record)
end

local requests = read_requests()
open_sales(requests)
local verdicts = {}
for at, request in ipairs(requests) do
  verdicts[at] = judge(shard.sales[request.number], request)
end
commit(shard)
return reply_of(shard, verdicts)
