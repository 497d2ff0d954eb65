#!lua flags=allow-oom
--[[ move.lua: move up to 128 reservations of one shard on, in order, and make one commit of it.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then per sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 observed  2 latest
       then per request  number of the sale, id, CONFIRM | RELEASE | SPEND | EXTEND | RETURN, note, details, bytes of a
       Claim (of SPEND, else ''). The details are '' where there are none, or "revision ttl discards lines": the revision
       that must be found ('-': any), the asked life of the hold in ms ('-' but for EXTEND), 1 if what comes back leaves
       the sale (else 0), and "sku=quantity .." ('': all)
Reply  {now, epoch, seq, settled epoch, settled seq, result, ..}, one result a request; only MOVED writes:
       NO_SALE                there is none
       NO_RECORD, epoch, seq  nor is there one for a SPEND to make; with the shard's last commit before this call
       MOVED, record          CONFIRM sold what was held or a part, and gave back the rest; RELEASE and SPEND gave it back;
                              EXTEND let it live longer; RETURN took sold units back
       REPLAYED, record       it stands so already
       WRONG_STATE, record    the table of moves has no such move from here
       CONFIRMED_OTHERWISE / REVISION_MISMATCH / MORE_THAN_HELD / MORE_THAN_SOLD, record
Keeps  available + held + sold = total for every item, but for what a RETURN discards; what is given back is given back once.
Uses   clock shard record sale settings event move judge_move commit ]]

local FIRST, WIDTH = 3, 6 -- where requests begin in ARGV, and how many values each has

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local function add_details(request, details)
  local revision, ttl, discards, lines = string.match(details, '^(%S+) (%S+) (%S+) (.*)$')
  request.revision, request.ttl_ms, request.discards = tonumber(revision), tonumber(ttl), discards == '1'
  request.lines = lines_from_text(lines)
end

local function read_requests()
  local requests = {}
  for at = FIRST, #ARGV, WIDTH do
    local request = {
      number = tonumber(ARGV[at]), id = ARGV[at + 1], kind = ARGV[at + 2], note = ARGV[at + 3], claim = ARGV[at + 5],
    }
    if ARGV[at + 4] ~= '' then add_details(request, ARGV[at + 4]) end
    requests[#requests + 1] = request
  end
  assert(#requests <= 128, 'more than one call may carry')
  return requests
end

local function open_sales(requests)
  local ids = {}
  for at = 1, #requests do
    local request = requests[at]
    local number = request.number
    if not shard.sales[number] then
      open_sale(shard, number)
      ids[number] = {}
    end
    table.insert(ids[number], request.id)
  end
  for number, sale in ipairs(shard.sales) do
    load_records(sale, ids[number])
    load_moved(sale, ids[number])
  end
end

-- The record of an id that is spent, before its first event: without buyer and lines.
local function new_record(shard, claim)
  local now, epoch, seq, index = shard.now, shard.epoch, shard.seq + 1, #shard.events
  return {NEW, 0, now, now, 0, epoch, seq, index, epoch, seq, index, 0, '', '', claim, terms = false, units = false}
end

local function judge(sale, request)
  if not sale.settings then return {'NO_SALE'} end
  local record, spends = record_of(sale, request.id), request.kind == 'SPEND'
  if not record and spends then record = new_record(shard, request.claim) end
  if not record or is_unknown(record) and not spends then return {'NO_RECORD', shard.epoch, shard.seq} end
  return record_reply(shard, sale, judge_move(shard, sale, record, request), record)
end

local requests = read_requests()
open_sales(requests)
local results = {}
for at, request in ipairs(requests) do
  results[at] = judge(shard.sales[request.number], request)
end
commit(shard)
return reply_of(shard, results)
