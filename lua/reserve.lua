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
Uses   clock shard record sale settings event grant move checks attempts commit ]]

local FIRST, WIDTH = 4, 4 -- where requests begin in ARGV, and how many values each has
local FIRST_SALE, SALE_KEYS = 5, 6 -- where the keys of sales begin in KEYS, and how many each has

local shard, not_serving = open_shard()
if not_serving then return not_serving end
local replay = #ARGV % WIDTH == 0 and ARGV[#ARGV] -- HOLD or SELL; a replay is judged without window and attempts
local is_full = shard.seq - shard.trim_seq >= tonumber(ARGV[3]) -- requests that need no commit are still answered

-- One value a request in each column; id, fingerprint and Claim stay where they are in ARGV, behind `at`. Lines and buyers
-- are in the form that checks.lua has.
local requests = {sales = {}, buyers = {}, ttls = {}, lines = {}}
local count = math.floor((#ARGV - FIRST + 1) / WIDTH)

local function place_of(at)
  return FIRST + WIDTH * (at - 1)
end

local function open_asked_sale(number)
  local sale = open_sale(shard, number, FIRST_SALE + SALE_KEYS * (number - 1))
  sale.asked = {}
  return sale
end

local function read_requests()
  local line_count, sales, buyers, ttls, lines = 0, requests.sales, requests.buyers, requests.ttls, requests.lines
  for at = 1, count do
    local place, text = place_of(at), nil
    local number = tonumber(ARGV[place])
    local sale = shard.sales[number] or open_asked_sale(number)
    buyers[at], ttls[at], text = split_fingerprint(ARGV[place + 2])
    sales[at], lines[at], sale.asked[#sale.asked + 1] = sale, parse_lines(text), at
    line_count = line_count + #lines[at]
  end
  assert(count <= 128 and line_count <= 512, 'more than one call may carry')
end

-- The SKUs that the requests of a sale name.
local function asked_skus(sale)
  local skus, seen, lines = {}, {}, requests.lines
  for _, at in ipairs(sale.asked) do
    local asked = lines[at]
    if not seen[asked] then -- equal lines are one and the same table
      seen[asked] = true
      for line_at = 1, #asked do
        local sku = asked[line_at].sku
        if not seen[sku] then seen[sku], skus[#skus + 1] = true, sku end
      end
    end
  end
  return skus
end

-- Reads what the requests name, once a key; buyers are read when the first request of their sale gets that far.
local function load_sales()
  for _, sale in ipairs(shard.sales) do
    local ids = {}
    for number, at in ipairs(sale.asked) do ids[number] = ARGV[place_of(at) + 1] end
    load_records(sale, ids)
    load_settings(sale, asked_skus(sale))
  end
end

-- A request whose id is known gets its reservation as it stands, in whatever state.
local function judge_repeat(sale, at)
  local place = place_of(at)
  local record = record_of(sale, ARGV[place + 1])
  if not record then return nil end
  if record[FINGERPRINT] ~= ARGV[place + 2] and record[FINGERPRINT] ~= '' then return {'ID_REUSED'} end
  local state = effective(shard, sale, record)
  if state == HELD or state == CONFIRMED then return record_reply(shard, sale, 'REPLAYED', record) end
  local ended = record_reply(shard, sale, 'ENDED', record)
  ended[#ended + 1] = seen_seq(shard)
  return ended
end

local function judge_names(sale, at)
  local lines = requests.lines[at]
  for line_at = 1, #lines do
    if not sale.items[lines[line_at].sku] then return {'NO_ITEM', lines[line_at].sku} end
  end
  if requests.ttls[at] ~= '-' and sale.settings.hold_ttl_ms == 0 then return {'WITHOUT_HOLDS'} end
end

-- When the hold of a request ends; 0: its units are sold.
local function end_of(settings, ttl)
  if settings.hold_ttl_ms == 0 or replay == 'SELL' then return 0 end
  return shard.now + math.min(tonumber(ttl) or settings.hold_ttl_ms, settings.max_hold_ttl_ms)
end

local forms = {} -- end of a hold -> what the grants with it share

local function grant(sale, at)
  local expire_ms, place, index = end_of(sale.settings, requests.ttls[at]), place_of(at), #shard.events
  local form, new_records = forms[expire_ms], sale.changes.new_records
  if not form then
    form = new_form(shard, expire_ms)
    forms[expire_ms] = form
  end
  local id, claim, last = ARGV[place + 1], ARGV[place + 3], #new_records
  local record = new_record(form, index, ARGV[place + 2], claim)
  book(sale, requests.buyers[at], lines_in(requests.lines[at], form.state), form.state, 1)
  add_event(shard, new_event(form, index, claim))
  sale.records[id], new_records[last + 1], new_records[last + 2] = record, id, record
  if expire_ms > 0 then add_end(sale, id, expire_ms) end
  return {'HELD', index, expire_ms}
end

-- The checks in their order: the first that returns a result decides. `judge` in reserve.py has the same.
local function judge(sale, at)
  return judge_repeat(sale, at)
    or judge_names(sale, at)
    or judge_backpressure(is_full)
    or judge_window(shard, sale)
    or judge_block(shard, sale, requests, at)
    or judge_attempts(shard, sale, requests, at)
    or judge_stock(shard, sale, requests, at)
    or judge_item_limits(shard, sale, requests, at)
    or judge_limit(shard, sale, requests, at)
    or grant(sale, at)
end

local function reserve(at)
  local sale = requests.sales[at]
  -- Once a request got CALL_AGAIN, the later ones of its sale must not overtake it.
  if sale.overdue_cleared == false then return {'CALL_AGAIN'} end
  if not sale.settings then return {'NO_SALE'} end
  local result = judge(sale, at)
  if sale.attempts then count_attempt(shard, sale, requests.buyers[at], result) end
  return result
end

read_requests()
load_sales()
local results = {}
if replay then -- what it alone needs is made here, for a function costs each call that makes it
  local function judge_released(sale)
    local holds = sale.settings.hold_ttl_ms > 0 and replay ~= 'SELL'
    if holds and sale.settings.release_ms > 0 then return {'SALE_CLOSED'} end
  end

  local function judge_replay(sale, at)
    return judge_repeat(sale, at)
      or judge_names(sale, at)
      or judge_backpressure(is_full)
      or judge_released(sale)
      or judge_block(shard, sale, requests, at)
      or judge_stock(shard, sale, requests, at)
      or judge_item_limits(shard, sale, requests, at)
      or judge_limit(shard, sale, requests, at)
      or grant(sale, at)
  end

  local sale = shard.sales[1]
  results[1] = sale.settings and judge_replay(sale, 1) or {'NO_SALE'}
else
  for at = 1, count do results[at] = reserve(at) end
end
commit(shard)
write_attempts(shard)
return reply_of(shard, results)
