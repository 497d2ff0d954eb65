#!lua flags=allow-oom
--[[ move.lua: move up to 128 reservations of one shard on, in order, and make one commit of it.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then per sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 observed  2 latest
       then per request  number of the sale, id, CONFIRM | RELEASE | SPEND, note, bytes of a Claim (of SPEND, else '')
Reply  {now, epoch, seq, settled epoch, settled seq, results}, one result a request; only MOVED writes:
       NO_SALE / NO_RECORD    there is none; SPEND makes one in a sale that is there, RELEASED and without lines
       MOVED, record          CONFIRM sold what was held, RELEASE and SPEND gave it back
       REPLAYED, record       it stands so already: sold or, for RELEASE and SPEND, not held any more
       WRONG_STATE, record    the table of moves has no such move from here
Keeps  available + held + sold = total for every item; what is given back is given back once.
Uses   clock shard record sale settings event move commit ]]

local FIRST, WIDTH = 3, 5 -- where requests begin in ARGV, and how many values each has

-- The table of moves. `outcomes`: state as every call sees it, NEW where there is no record -> new state, or a result;
-- any other is WRONG_STATE. Where not `sets_note`, the record keeps its note. MOVES of moves.py has the same.
local MOVES = {
  CONFIRM = {outcomes = {[HELD] = CONFIRMED, [CONFIRMED] = 'REPLAYED'}, sets_note = false},
  RELEASE = {outcomes = {[HELD] = RELEASED, [RELEASED] = 'REPLAYED', [EXPIRED] = 'REPLAYED',
    [COMPENSATED] = 'REPLAYED', [RETURNED] = 'REPLAYED'}, sets_note = true},
  SPEND = {outcomes = {[NEW] = RELEASED, [HELD] = RELEASED, [RELEASED] = 'REPLAYED', [EXPIRED] = 'REPLAYED',
    [COMPENSATED] = 'REPLAYED', [RETURNED] = 'REPLAYED'}, sets_note = true},
}

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local function read_requests()
  local requests = {}
  for at = FIRST, #ARGV, WIDTH do
    requests[#requests + 1] = {
      number = tonumber(ARGV[at]), id = ARGV[at + 1], rule = MOVES[ARGV[at + 2]], note = ARGV[at + 3],
      claim = ARGV[at + 4],
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
      local sale = open_sale(shard, number)
      load_settings(sale, {})
      ids[number] = {}
    end
    table.insert(ids[number], request.id)
  end
  for number, sale in ipairs(shard.sales) do
    load_records(sale, ids[number])
    load_accounts(sale, ids[number])
  end
end

local function judge(sale, request)
  if not sale.settings then return {'NO_SALE'} end
  local record, rule = sale.records[request.id], request.rule
  if not record then
    if not rule.outcomes[NEW] then return {'NO_RECORD'} end
    record = new_record(shard, '', parse_terms(''), request.claim, 0)
  end
  local outcome = rule.outcomes[effective(shard, sale, record)]
  if type(outcome) ~= 'number' then return record_reply(shard, sale, outcome or 'WRONG_STATE', record) end
  if rule.sets_note then record[NOTE] = request.note end
  move(shard, sale, request.id, record, outcome, units_in(units_of(record), outcome))
  return record_reply(shard, sale, 'MOVED', record)
end

local requests = read_requests()
open_sales(requests)
local results = {}
for at, request in ipairs(requests) do
  results[at] = judge(shard.sales[request.number], request)
end
commit(shard)
return reply_of(shard, results)
