#!lua
--[[ reserve.lua: judge up to 128 reservations of one shard, in order, or the replay of a dead letter; make one commit of it.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)  4 blocked (hash)
       then per sale  sale, reservations (hashes), expiry (zset), buyers, attempts of even and of odd minutes (hashes)
ARGV   1 observed  2 latest  3 commits that the outbox may hold; 0: nothing new, for Redis is short of memory
       then per request  number of the sale, id, fingerprint (lib/record.lua has its form), bytes of the Claim
       then for a replay  HOLD | SELL  what becomes of the units; it is the only request, and has no ttl
Reply  {now, epoch, seq, settled epoch, settled seq, results}, one result a request, the first that applies; only HELD
       and the holds taken back on the way write; and attempts, where the sale limits them. `seen` is the seq of the last commit that the answer has seen.
       CALL_AGAIN         more holds of the sale are overdue than one call takes back; its later requests say so too
       REPLAYED, record   this id and fingerprint were seen   ENDED, record, seen  so they were; the claim has ended
       ID_REUSED          this id, another fingerprint       NO_SALE / NO_ITEM, sku
       WITHOUT_HOLDS      a ttl asked of a sale without      LEDGER_BEHIND  no room: nothing is taken back or granted
       SALE_ENDED / SALE_NOT_STARTED / SALE_PAUSED / BUYER_BLOCKED, seen, retry
       SALE_CLOSED        of a replay that would hold: the holds of the sale were released
       ATTEMPT_LIMIT, seen, retry
       SOLD_OUT / INSUFFICIENT_STOCK, seen, retry, then per short line  sku, asked, available, held
       ITEM_LIMIT, seen, retry, units of the item that the buyer may still take, sku
       BUYER_LIMIT, seen, retry, units that the buyer may still take
       HELD, index, expire   the units are the buyer's: set aside or, where expire is 0, sold
Keeps  available + held + sold = total for every item, and none of them is ever below zero.
Uses   clock shard record sale settings event move checks attempts commit ]]

local FIRST, WIDTH = 4, 4 -- where requests begin in ARGV, and how many values each has
local FIRST_SALE, SALE_KEYS = 5, 6 -- where the keys of sales begin in KEYS, and how many each has

local shard, not_serving = open_shard()
if not_serving then return not_serving end
local replay = #ARGV % WIDTH == 0 and ARGV[#ARGV] -- HOLD or SELL; a replay is judged without window and attempts
local is_full = shard.seq - shard.trim_seq >= tonumber(ARGV[3]) -- requests that need no commit are still answered

local function read_requests()
  local requests, lines = {}, 0
  for at = FIRST, #ARGV - 1, WIDTH do
    local buyer, ttl, asked, units = parse_terms(ARGV[at + 2])
    requests[#requests + 1] = {
      number = tonumber(ARGV[at]), id = ARGV[at + 1], fingerprint = ARGV[at + 2], claim = ARGV[at + 3],
      buyer = buyer, ttl = ttl, lines = asked, units = units,
    }
    lines = lines + #asked
  end
  assert(#requests <= 128 and lines <= 512, 'more than one call may carry')
  return requests
end

-- Reads what the requests name, once a key; buyers are read when the first request of their sale gets that far.
local function open_sales(requests)
  local ids, skus = {}, {}
  for _, request in ipairs(requests) do
    local number, lines = request.number, request.lines
    local sale = shard.sales[number]
    if not sale then
      sale = open_sale(shard, number, FIRST_SALE + SALE_KEYS * (number - 1))
      sale.requests, ids[number], skus[number] = {}, {}, {}
    end
    local next_at, sale_skus = #sale.requests + 1, skus[number]
    sale.requests[next_at], ids[number][next_at] = request, request.id
    for at = 1, #lines do sale_skus[#sale_skus + 1] = lines[at].sku end
  end
  for number, sale in ipairs(shard.sales) do
    load_records(sale, ids[number])
    load_settings(sale, skus[number])
  end
end

-- A request whose id is known gets its reservation as it stands, in whatever state.
local function judge_repeat(sale, request)
  local record = sale.records[request.id]
  if not record then return nil end
  if record[FINGERPRINT] ~= request.fingerprint and record[FINGERPRINT] ~= '' then return {'ID_REUSED'} end
  local state = effective(shard, sale, record)
  if state == HELD or state == CONFIRMED then return record_reply(shard, sale, 'REPLAYED', record) end
  local ended = record_reply(shard, sale, 'ENDED', record)
  ended[#ended + 1] = seen_seq(shard)
  return ended
end

local function judge_names(sale, request)
  local lines = request.lines
  for at = 1, #lines do
    if not sale.items[lines[at].sku] then return {'NO_ITEM', lines[at].sku} end
  end
  if request.ttl ~= '-' and sale.settings.hold_ttl_ms == 0 then return {'WITHOUT_HOLDS'} end
end

local function grant(sale, request)
  local settings = sale.settings
  local buys = settings.hold_ttl_ms == 0 or request.sells
  local ttl_ms = math.min(tonumber(request.ttl) or settings.hold_ttl_ms, settings.max_hold_ttl_ms)
  local record = new_record(shard, request.fingerprint, request, request.claim, buys and 0 or shard.now + ttl_ms)
  move(shard, sale, request.id, record, buys and CONFIRMED or HELD)
  return {'HELD', record[INDEX], record[EXPIRE_MS]}
end

-- The checks in their order: the first that returns a result decides. `judge` in reserve.py has the same.
local function judge(sale, request)
  return judge_repeat(sale, request)
    or judge_names(sale, request)
    or judge_backpressure(is_full)
    or judge_window(shard, sale)
    or judge_block(shard, sale, request)
    or judge_attempts(shard, sale, request)
    or judge_stock(shard, sale, request)
    or judge_item_limits(shard, sale, request)
    or judge_limit(shard, sale, request)
    or grant(sale, request)
end

local function reserve(sale, request)
  -- Once a request got CALL_AGAIN, the later ones of its sale must not overtake it.
  if sale.overdue_cleared == false then return {'CALL_AGAIN'} end
  if not sale.settings then return {'NO_SALE'} end
  local result = judge(sale, request)
  count_attempt(shard, sale, request.buyer, result)
  return result
end

local requests = read_requests()
open_sales(requests)
local results = {}
if replay then -- what it alone needs is made here, for a function costs each call that makes it
  local function judge_released(sale, request)
    local holds = sale.settings.hold_ttl_ms > 0 and not request.sells
    if holds and sale.settings.release_ms > 0 then return {'SALE_CLOSED'} end
  end

  local function judge_replay(sale, request)
    return judge_repeat(sale, request)
      or judge_names(sale, request)
      or judge_backpressure(is_full)
      or judge_released(sale, request)
      or judge_block(shard, sale, request)
      or judge_stock(shard, sale, request)
      or judge_item_limits(shard, sale, request)
      or judge_limit(shard, sale, request)
      or grant(sale, request)
  end

  local sale, request = shard.sales[1], requests[1]
  request.sells = replay == 'SELL'
  results[1] = sale.settings and judge_replay(sale, request) or {'NO_SALE'}
else
  for at, request in ipairs(requests) do
    results[at] = reserve(shard.sales[request.number], request)
  end
end
commit(shard)
write_attempts(shard)
return reply_of(shard, results)
