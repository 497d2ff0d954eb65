#!lua
--[[ reserve.lua: judge up to 128 reservations of one shard, in order, or the replay of a dead letter; make one commit of it.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)  4 blocked (hash)
       then per sale  sale, reservations (hashes), expiry (zset), buyers, attempts of even and of odd minutes (hashes)
ARGV   1 observed  2 latest  3 commits that the outbox may hold; 0: nothing new, for Redis is short of memory
       4 a byte a request, the number of its terms
       5 the buyers of the requests, then the bytes of their Claims, as MessagePack's texts; read when they are first needed
       then the id of each request; then per terms  number of the sale, and the fingerprint (lib/record.lua) without a buyer
       then for a replay  HOLD | SELL  what becomes of the units; it is the only request, and has no ttl
Reply  {now, epoch, seq, settled epoch, settled seq, result, ..}, one result a request, the first that applies; only HELD
       and the holds taken back on the way write; and attempts, where the sale limits them. `seen` is the seq of the last
       commit that the answer has seen.
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
       or a number: its lowest byte is the place of a result in the call, from 1, that this one is equal to, save that the
       index of a HELD stands in the bytes above it
Keeps  available + held + sold = total for every item, and none of them is ever below zero.
Uses   clock shard record sale settings event grant move checks attempts commit
Later  judge_shortage expire_overdue until_next_expiry seen_seq
Later  grant commit varint load_buyers read_accounts book lines_in field_head load_accounts
Later  judge_repeat judge_names judge_backpressure judge_block judge_attempts judge_item_limits judge_limit judge_replay
       count_attempt write_attempts take_back kept_units units_in name_of_limited bytes_from_record ids_of
Later  add_account_names
Later  is_over_limit
Later  units_from_account
Later  name_of first_due
Later  went_back format_error ]]

local FIRST_ID = 6 -- where the ids begin in ARGV
local FIRST_SALE, SALE_KEYS = 5, 6 -- where the keys of sales begin in KEYS, and how many each has

local shard, not_serving = open_shard()
if not_serving then return not_serving end
local is_full = shard.seq - shard.trim_seq >= ARGV[3] + 0 -- requests that need no commit are still answered
local count = #ARGV[4] -- of requests
local first_terms = FIRST_ID + count -- where the terms begin in ARGV
local replay = (#ARGV - first_terms) % 2 == 0 and ARGV[#ARGV] -- HOLD or SELL; it is judged without window and attempts

-- Columns, with one value a request in each, in the order of the call; buyers and lines in the form that checks.lua has.
-- Requests with the same sale, ttl, lines and reference share one table of terms.
local requests = {buyers = false, lines = {}}
local ids, claims = {unpack(ARGV, FIRST_ID, first_terms - 1)}, nil
local terms, numbers = {}, {string.byte(ARGV[4], 1, -1)} -- `terms[numbers[at]]` are those of a request

-- `held_at`: the place of the first of these requests that was granted.
local function new_terms(number, text)
  local ttl, line_text = string.match(text, '^([^ ]+) ([^#]+)')
  local sale, lines = shard.sales[number], parse_lines(line_text)
  if not sale then
    sale = open_sale(shard, number, FIRST_SALE + SALE_KEYS * (number - 1))
    sale.asked, sale.skus = {}, {}
  end
  local skus = sale.skus
  for at = 1, #lines do
    local sku = lines[at].sku
    if sale.items[sku] == nil then sale.items[sku], skus[#skus + 1] = false, sku end -- it is read below
  end
  return {sale = sale, ttl = ttl, lines = lines, text = ' ' .. text, units = false, form = false, held_at = false,
    has_names = false}
end

local function read_requests()
  local lines, line_count = requests.lines, 0
  for place = first_terms, #ARGV - 1, 2 do
    terms[#terms + 1] = new_terms(ARGV[place] + 0, ARGV[place + 1])
  end
  for at = 1, count do
    local its_terms = terms[numbers[at]]
    local asked = its_terms.sale.asked
    lines[at], asked[#asked + 1] = its_terms.lines, at
    line_count = line_count + #its_terms.lines
  end
  assert(count <= 128 and line_count <= 512, 'more than one call may carry')
end

local function read_buyers()
  local texts = {cmsgpack.unpack(ARGV[5])}
  requests.buyers, claims = {unpack(texts, 1, count)}, {unpack(texts, count + 1)}
end

local function ids_of(sale)
  local of_sale = {}
  for number, at in ipairs(sale.asked) do of_sale[number] = ids[at] end
  return of_sale
end

-- Reads what the requests name, once a key; buyers are read when the first request of their sale gets that far.
local function load_sales()
  for number = 1, #shard.sales do
    local sale = shard.sales[number]
    load_records(sale, #sale.asked == count and ids or ids_of(sale))
    load_settings(sale, sale.skus)
    sale.is_usual = sale.settings and not sale.is_limited and shard.blocked == 0
      and sale.settings.attempts_per_minute == 0 and not judge_window(shard, sale)
    if not sale.is_usual and not claims then read_buyers() end
  end
end

-- A request whose id is known gets its reservation as it stands, in whatever state.
local function judge_repeat(its_terms, at)
  local sale = its_terms.sale
  if not claims then read_buyers() end
  local record, fingerprint = record_of(sale, ids[at]), requests.buyers[at] .. its_terms.text
  if record[FINGERPRINT] ~= fingerprint and record[FINGERPRINT] ~= '' then return {'ID_REUSED'} end
  local state = effective(shard, sale, record)
  if state == HELD or state == CONFIRMED then return record_reply(shard, sale, 'REPLAYED', record) end
  local ended = record_reply(shard, sale, 'ENDED', record)
  ended[#ended + 1] = seen_seq(shard)
  return ended
end

-- Whether the sale has all these items, and holds if a ttl is asked for.
local function are_names_known(its_terms)
  local sale, lines = its_terms.sale, its_terms.lines
  for at = 1, #lines do
    if not sale.items[lines[at].sku] then return false end
  end
  return its_terms.ttl == '-' or sale.settings and sale.settings.hold_ttl_ms > 0
end

local function judge_names(its_terms)
  for _, line in ipairs(its_terms.lines) do
    if not its_terms.sale.items[line.sku] then return {'NO_ITEM', line.sku} end
  end
  return {'WITHOUT_HOLDS'}
end

-- When the hold of a request ends; 0: its units are sold.
local function end_of(settings, ttl)
  if settings.hold_ttl_ms == 0 or replay == 'SELL' then return 0 end
  return shard.now + math.min(tonumber(ttl) or settings.hold_ttl_ms, settings.max_hold_ttl_ms)
end

local form = false -- what grants with one end share, of the end that was looked for last

local function form_of(its_terms)
  local expire_ms = end_of(its_terms.sale.settings, its_terms.ttl)
  if not form or form.expire_ms ~= expire_ms then form = new_form(shard, expire_ms) end
  its_terms.form = form
  its_terms.units = lines_in(its_terms.lines, form.state)
  return form
end

local function grant(its_terms, at)
  local sale, id, buyer, claim, index = its_terms.sale, ids[at], requests.buyers[at], claims[at], #shard.events
  local its_form, new_records = its_terms.form or form_of(its_terms), (sale.changes or changes_of(sale)).new_records
  local record, last, expire_ms = new_record(its_form, index, buyer, its_terms.text, claim), #new_records, its_form.expire_ms
  book(sale, buyer, its_terms.units, its_form.state, 1)
  shard.events[index + 1] = new_event(its_form, index, claim)
  sale.records[id], new_records[last + 1], new_records[last + 2] = record, id, record
  if expire_ms > 0 then add_end(sale, id, expire_ms) end
  if its_terms.held_at then return 256 * index + its_terms.held_at end
  its_terms.held_at = at
  return {'HELD', index, expire_ms}
end

-- Reads the buyers of a sale when the first request gets so far; returns nothing, so that it can stand among the checks.
local function read_accounts(sale)
  if not claims then read_buyers() end
  load_buyers(sale, requests)
end

-- The checks in their order: the first that returns a result decides. `judge` in reserve.py has the same. What few requests
-- need is called only for them.
local function judge(sale, its_terms, at)
  return sale.records[ids[at]] and judge_repeat(its_terms, at)
    or not its_terms.has_names and judge_names(its_terms)
    or is_full and judge_backpressure(is_full)
    or not sale.is_usual and (judge_window(shard, sale)
      or judge_block(shard, sale, requests, at)
      or judge_attempts(shard, sale, requests, at))
    or judge_stock(shard, sale, requests, at)
    or not sale.are_buyers_read and read_accounts(sale)
    or sale.is_limited and judge_item_limits(shard, sale, requests, at)
    or sale.settings.buyer_limit > 0 and is_over_limit(sale, requests.buyers[at], requests.lines[at].units)
      and judge_limit(shard, sale, requests, at)
    or grant(its_terms, at)
end

local function judge_released(sale)
  local holds = sale.settings.hold_ttl_ms > 0 and replay ~= 'SELL'
  if holds and sale.settings.release_ms > 0 then return {'SALE_CLOSED'} end
end

-- A replay is judged without window and attempts.
local function judge_replay(sale, its_terms)
  return sale.records[ids[1]] and judge_repeat(its_terms, 1)
    or not its_terms.has_names and judge_names(its_terms)
    or judge_backpressure(is_full)
    or judge_released(sale)
    or judge_block(shard, sale, requests, 1)
    or judge_stock(shard, sale, requests, 1)
    or judge_item_limits(shard, sale, requests, 1)
    or judge_limit(shard, sale, requests, 1)
    or grant(its_terms, 1)
end

read_requests()
load_sales()
for number = 1, #terms do terms[number].has_names = are_names_known(terms[number]) end
local results = {}
for at = 1, count do
  local its_terms, result = terms[numbers[at]], nil
  local sale = its_terms.sale
  if sale.overdue_cleared == false then
    result = {'CALL_AGAIN'} -- once a request got that, the later ones of its sale must not overtake it
  elseif not sale.settings then
    result = {'NO_SALE'}
  elseif replay then
    read_buyers()
    result = judge_replay(sale, its_terms)
  else
    result = judge(sale, its_terms, at)
    if sale.attempts then
      local said = type(result) == 'number' and results[result % 256] or result
      count_attempt(shard, sale, requests.buyers[at], said)
    end
  end
  results[at] = result
end
if #shard.events > 0 then commit(shard) end
for number = 1, #shard.sales do
  if shard.sales[number].attempts then
    write_attempts(shard)
    break
  end
end
return reply_of(shard, results)
