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

-- Columns, with one value a request in each, in the order of the call; buyers and lines in the form that checks.lua has.
local requests = {buyers = {}, lines = {}}
local sales, ids, fingerprints, ttls, claims = {}, {}, {}, {}, {}

local function open_asked_sale(number)
  local sale = open_sale(shard, number, FIRST_SALE + SALE_KEYS * (number - 1))
  sale.asked = {}
  return sale
end

local function read_requests()
  local at, line_count, buyers, lines = 0, 0, requests.buyers, requests.lines
  for place = FIRST, #ARGV - 1, WIDTH do
    at = at + 1
    local number, fingerprint, text = tonumber(ARGV[place]), ARGV[place + 2], nil
    local sale = shard.sales[number] or open_asked_sale(number)
    local asked = sale.asked
    sales[at], ids[at], fingerprints[at], claims[at] = sale, ARGV[place + 1], fingerprint, ARGV[place + 3]
    buyers[at], ttls[at], text = split_fingerprint(fingerprint)
    lines[at], asked[#asked + 1] = parse_lines(text), at
    line_count = line_count + #lines[at]
  end
  assert(at <= 128 and line_count <= 512, 'more than one call may carry')
end

-- The SKUs that the requests of a sale name.
local function asked_skus(sale)
  local skus, seen, asked = {}, {}, sale.asked
  for number = 1, #asked do
    local lines = requests.lines[asked[number]]
    if not seen[lines] then -- equal lines are one and the same table
      seen[lines] = true
      for at = 1, #lines do
        local sku = lines[at].sku
        if not seen[sku] then seen[sku], skus[#skus + 1] = true, sku end
      end
    end
  end
  return skus
end

-- Reads what the requests name, once a key; buyers are read when the first request of their sale gets that far.
local function load_sales()
  for _, sale in ipairs(shard.sales) do
    local asked, asked_ids = sale.asked, {}
    for number = 1, #asked do asked_ids[number] = ids[asked[number]] end
    load_records(sale, asked_ids)
    load_settings(sale, asked_skus(sale))
  end
end

-- A request whose id is known gets its reservation as it stands, in whatever state.
local function judge_repeat(sale, at)
  local record = record_of(sale, ids[at])
  if not record then return nil end
  if record[FINGERPRINT] ~= fingerprints[at] and record[FINGERPRINT] ~= '' then return {'ID_REUSED'} end
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
  if ttls[at] ~= '-' and sale.settings.hold_ttl_ms == 0 then return {'WITHOUT_HOLDS'} end
end

-- When the hold of a request ends; 0: its units are sold.
local function end_of(settings, ttl)
  if settings.hold_ttl_ms == 0 or replay == 'SELL' then return 0 end
  return shard.now + math.min(tonumber(ttl) or settings.hold_ttl_ms, settings.max_hold_ttl_ms)
end

local forms = {} -- what the grants of a sale with one asked life of the hold share

local function form_of(sale, ttl)
  if not forms[sale] then forms[sale] = {} end
  local of_sale = forms[sale]
  if not of_sale[ttl] then of_sale[ttl] = new_form(shard, end_of(sale.settings, ttl)) end
  return of_sale[ttl]
end

local function grant(sale, at)
  local form, id, claim, index = form_of(sale, ttls[at]), ids[at], claims[at], #shard.events
  local state, expire_ms, new_records = form.state, form.expire_ms, sale.changes.new_records
  local record, last = new_record(form, index, fingerprints[at], claim), #new_records
  book(sale, requests.buyers[at], lines_in(requests.lines[at], state), state, 1)
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
  local sale = sales[at]
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
  for at = 1, #sales do results[at] = reserve(at) end
end
commit(shard)
write_attempts(shard)
return reply_of(shard, results)
