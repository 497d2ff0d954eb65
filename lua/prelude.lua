--[[ prelude.lua: what the scripts share; the loader puts it between a script's `#!lua` line and the rest of it.

Every script gets  KEYS 1 meta (hash)  2 outbox (stream)  3 due (zset)  and then, for each sale, four keys more:
                   sale, reservations (hashes), expiry (zset), buyers (hash)
                   ARGV 1 epoch that the caller believes in  2 run_id of the Redis process that the caller speaks to
What is kept       sale          `settings` (cmsgpack), and an `item:<sku>` for each item: "available held sold"
                   reservations  id -> record (cmsgpack, see `record_from_bytes`)
                   expiry        id of a hold -> when it ends, in ms
                   buyers        buyer -> "held sold", in units
                   due           sale -> when the first of its holds ends; +inf while it has none: so all sales are here
A script judges in tables first and calls `commit` last: nothing is refused after the first write. ]]

local HELD, CONFIRMED, RELEASED, EXPIRED, COMPENSATED, RETURNED = 1, 2, 3, 4, 5, 6 -- a ReservationState each
local UNMADE = 0 -- the state before the first

-- Where the units of a reservation lie, by its state: a move carries them from one account of the item to another.
local ACCOUNT = {
  [UNMADE] = 'available', [HELD] = 'held', [CONFIRMED] = 'sold', [RELEASED] = 'available',
  [EXPIRED] = 'available', [COMPENSATED] = 'available', [RETURNED] = 'available',
}

local MOST_EXPIRIES = 100 -- holds taken back by one call, so that no call blocks Redis for long

-- The contract tests put a clock of their own in the place of the lines between these marks.
-- clock: begin
local function wall_time_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- clock: end

---------------------------------------------------------------------------------------------------- the shard

-- Reads the shard's state as it is, whoever may serve it; `epoch` is nil while it is blank.
local function read_meta()
  local names = {'epoch', 'seq', 'hash', 'time', 'owner', 'claim', 'frozen', 'settled_epoch', 'settled_seq', 'trim_seq'}
  local values = redis.call('HMGET', KEYS[1], unpack(names))
  return {
    epoch = tonumber(values[1]), seq = tonumber(values[2] or 0), hash = values[3] or '',
    time = tonumber(values[4] or 0), owner = values[5], claim = values[6], frozen = values[7],
    settled_epoch = tonumber(values[8] or 0), settled_seq = tonumber(values[9] or 0),
    trim_seq = tonumber(values[10] or 0),
  }
end

-- Says why the caller may not be served, or nil. A state that only a take-over mends comes before a caller's old epoch.
local function shard_refusal(meta, epoch, run_id)
  if meta.frozen then return {'SHARD', 'FROZEN', meta.frozen} end
  if not meta.epoch then return {'SHARD', 'BLANK', ''} end
  if meta.claim then return {'SHARD', 'CLAIMED', ''} end
  if meta.owner ~= run_id then return {'SHARD', 'NOT_OWNED', ''} end
  if meta.epoch ~= epoch then return {'SHARD', 'EPOCH', string.format('%.0f', meta.epoch)} end
  return nil
end

-- Opens the shard for a call, or answers with nil and the reply that refuses it; its time is never before a commit's.
local function open_shard()
  local shard = read_meta()
  local refusal = shard_refusal(shard, tonumber(ARGV[1]), ARGV[2])
  if refusal then return nil, refusal end
  shard.now = math.max(wall_time_ms(), shard.time)
  shard.events, shard.sales, shard.expired = {}, {}, 0
  return shard, nil
end

-- The last commit that an answer given now has seen: the one that this call makes, once it has changed something.
local function seen_seq(shard)
  return #shard.events > 0 and shard.seq + 1 or shard.seq
end

-- The reply of a call: moment, position of the head and of what is settled, and what the script has to say.
local function reply_of(shard, verdicts)
  return {shard.now, shard.epoch, shard.seq, shard.settled_epoch, shard.settled_seq, verdicts}
end

-------------------------------------------------------------------------------------------------- what is kept

local function item_from_text(text)
  local available, held, sold = string.match(text, '^(%d+) (%d+) (%d+)$')
  return {available = tonumber(available), held = tonumber(held), sold = tonumber(sold)}
end

-- %.0f, because Lua by itself writes 10^14 as 1e+14.
local function text_from_item(item)
  return string.format('%.0f %.0f %.0f', item.available, item.held, item.sold)
end

local function buyer_from_text(text)
  local held, sold = string.match(text, '^(%d+) (%d+)$')
  return {held = tonumber(held), sold = tonumber(sold)}
end

local function text_from_buyer(buyer)
  return string.format('%.0f %.0f', buyer.held, buyer.sold)
end

-- `asked` is the body of the Reserve as text, "buyer ttl sku=quantity ..", and tells repeats from reuses. An id that was
-- spent has ''. `claim` holds the Claim's bytes, repeated by every change. `created_*` never changes: it is the identity.
local function record_from_bytes(bytes)
  local record = {}
  record.state, record.revision, record.create_ms, record.update_ms, record.expire_ms,
    record.created_epoch, record.created_seq, record.created_index, record.epoch, record.seq, record.index,
    record.reason, record.asked, record.note, record.claim = cmsgpack.unpack(bytes)
  return record
end

local function bytes_from_record(record)
  return cmsgpack.pack(record.state, record.revision, record.create_ms, record.update_ms, record.expire_ms,
    record.created_epoch, record.created_seq, record.created_index, record.epoch, record.seq, record.index,
    record.reason, record.asked, record.note, record.claim)
end

-- `end_ms` is -1 for a sale without end. `body` tells a repeated CreateSale from a reused id.
local function settings_from_bytes(bytes)
  local settings = {}
  settings.start_ms, settings.end_ms, settings.hold_ttl_ms, settings.max_hold_ttl_ms, settings.buyer_limit,
    settings.paused, settings.closed, settings.epoch, settings.seq, settings.index,
    settings.create_ms, settings.update_ms, settings.title, settings.body = cmsgpack.unpack(bytes)
  return settings
end

local function bytes_from_settings(settings)
  return cmsgpack.pack(settings.start_ms, settings.end_ms, settings.hold_ttl_ms, settings.max_hold_ttl_ms,
    settings.buyer_limit, settings.paused, settings.closed, settings.epoch, settings.seq, settings.index,
    settings.create_ms, settings.update_ms, settings.title, settings.body)
end

-- The buyer, the asked life of the hold ('-': the sale's) and the lines of a body.
local function parse_asked(asked)
  local buyer, ttl, sku, quantity = string.match(asked, '^([^ ]+) ([^ ]+) ([^ =]+)=(%d+)$')
  if buyer then -- one line, as nearly always: the walk below costs more than all else that is done with a body
    local units = tonumber(quantity)
    return {buyer = buyer, ttl = ttl, lines = {{sku = sku, quantity = units}}, units = units}
  end
  buyer, ttl = string.match(asked, '^(%S+) (%S+)')
  local lines, units = {}, 0
  for next_sku, next_quantity in string.gmatch(asked, '(%S+)=(%d+)') do
    local line = {sku = next_sku, quantity = tonumber(next_quantity)}
    lines[#lines + 1] = line
    units = units + line.quantity
  end
  return {buyer = buyer, ttl = ttl, lines = lines, units = units}
end

local function body_of(record)
  if not record.body then record.body = parse_asked(record.asked) end
  return record.body
end

------------------------------------------------------------------------------------------------------ the sale

-- Names sale number `number` of the call: nothing is read yet.
local function open_sale(shard, number)
  local first = 4 * number
  local sale = {
    key = KEYS[first], reservations_key = KEYS[first + 1], expiry_key = KEYS[first + 2], buyers_key = KEYS[first + 3],
    name = string.match(KEYS[first], '}:sale:(.*)$'),
    items = {}, records = {}, buyers = {}, -- what was read, false for what is not there
    changed_items = {}, changed_records = {}, changed_buyers = {}, changed_expiry = {},
  }
  shard.sales[number] = sale
  return sale
end

-- Reads the fields of a hash that are not in `known` yet, in one command; what is not there becomes false.
local function load_fields(key, prefix, names, known, decode)
  local missing, fields, count = {}, {}, 0
  for _, name in ipairs(names) do
    if known[name] == nil then
      known[name], count = false, count + 1
      missing[count], fields[count] = name, prefix .. name
    end
  end
  if count == 0 then return end
  local values = redis.call('HMGET', key, unpack(fields))
  for at = 1, count do
    if values[at] then known[missing[at]] = decode(values[at]) end
  end
end

local function load_settings(sale)
  local bytes = redis.call('HGET', sale.key, 'settings')
  sale.settings = bytes and settings_from_bytes(bytes)
end

local function load_items(sale, skus)
  load_fields(sale.key, 'item:', skus, sale.items, item_from_text)
end

local function load_records(sale, ids)
  load_fields(sale.reservations_key, '', ids, sale.records, record_from_bytes)
end

local function load_buyers(sale, buyers)
  load_fields(sale.buyers_key, '', buyers, sale.buyers, buyer_from_text)
  for _, buyer in ipairs(buyers) do
    sale.buyers[buyer] = sale.buyers[buyer] or {held = 0, sold = 0}
  end
end

-- Reads what a move of these reservations will touch.
local function load_accounts(sale, ids)
  local skus, buyers = {}, {}
  for _, id in ipairs(ids) do
    local record = sale.records[id]
    if record and record.asked ~= '' then
      local body = body_of(record)
      buyers[#buyers + 1] = body.buyer
      for _, line in ipairs(body.lines) do skus[#skus + 1] = line.sku end
    end
  end
  load_items(sale, skus)
  load_buyers(sale, buyers)
end

---------------------------------------------------------------------------------------------------- what moves

local function is_overdue(shard, record)
  return record.state == HELD and shard.now >= record.expire_ms
end

-- The state that everyone sees: a hold whose end has come is EXPIRED, swept or not.
local function seen_state(shard, record)
  return is_overdue(shard, record) and EXPIRED or record.state
end

-- A reservation as replies carry it.
local function record_reply(shard, verdict, record)
  return {verdict, seen_state(shard, record), record.revision, record.create_ms, record.update_ms, record.expire_ms,
    record.created_epoch, record.created_seq, record.created_index, record.epoch, record.seq, record.index,
    record.reason, record.asked, record.note}
end

-- A sale as replies carry it: settings, then what each item has.
local function sale_reply(verdict, sale)
  load_settings(sale)
  local settings, items = sale.settings, {}
  local fields = redis.call('HGETALL', sale.key)
  for at = 1, #fields, 2 do
    local sku = string.match(fields[at], '^item:(.*)$')
    if sku then
      local item = item_from_text(fields[at + 1])
      for _, value in ipairs({sku, item.available, item.held, item.sold}) do items[#items + 1] = value end
    end
  end
  return {verdict, settings.title, settings.start_ms, settings.end_ms, settings.hold_ttl_ms, settings.max_hold_ttl_ms,
    settings.buyer_limit, settings.paused, settings.closed, settings.epoch, settings.seq, settings.index,
    settings.create_ms, settings.update_ms, items}
end

local function varint(number)
  if number < 128 then return string.char(number) end
  local bytes = ''
  while number >= 128 do
    bytes = bytes .. string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  return bytes .. string.char(number)
end

-- A field of protobuf's wire type 2: bytes behind their length.
local function field(tag, bytes)
  return string.char(tag) .. varint(#bytes) .. bytes
end

-- One `Event` of commit.proto, behind its tag in CommitBody: a ReservationChange of `record` as it now stands.
local function change_event(record, previous)
  local change = field(0x0a, record.claim)
    .. struct.pack('<BBBBBI4BI8BI8BI8BI8BI4', 0x10, previous, 0x18, record.state, 0x25, record.revision,
      0x29, record.create_ms, 0x31, record.expire_ms, 0x39, record.created_epoch, 0x41, record.created_seq,
      0x4d, record.created_index)
  if record.note ~= '' then change = change .. field(0x52, record.note) end
  if record.reason ~= 0 then change = change .. struct.pack('BB', 0x58, record.reason) end
  return field(0x12, field(0x0a, change))
end

-- Adds an event to the commit that this call will make, and answers with its index.
local function tell(shard, event)
  shard.events[#shard.events + 1] = event
  return #shard.events - 1
end

-- Carries a reservation's units from one account to another, of each item and of the buyer.
local function carry(sale, body, from, to)
  for _, line in ipairs(body.lines) do
    local item = sale.items[line.sku]
    item[from], item[to] = item[from] - line.quantity, item[to] + line.quantity
    assert(item[from] >= 0, 'an account below zero')
    sale.changed_items[line.sku] = true
  end
  if body.buyer then
    local buyer = sale.buyers[body.buyer] -- has no account `available`: what is not the buyer's is not counted
    if buyer[from] then buyer[from] = buyer[from] - body.units end
    if buyer[to] then buyer[to] = buyer[to] + body.units end
    sale.changed_buyers[body.buyer] = true
  end
end

-- Moves a reservation on (or makes it, from UNMADE): the one place where units change account and an event is told.
-- Its item and buyer must have been read.
local function move(shard, sale, id, record, state)
  local previous = record.state
  carry(sale, body_of(record), ACCOUNT[previous], ACCOUNT[state])
  record.state, record.revision, record.update_ms = state, record.revision + 1, shard.now
  record.epoch, record.seq, record.index = shard.epoch, shard.seq + 1, #shard.events
  tell(shard, change_event(record, previous))
  sale.records[id], sale.changed_records[id] = record, true
  if state == HELD then sale.changed_expiry[id] = record.expire_ms
  elseif previous == HELD then sale.changed_expiry[id] = false end
end

-- A reservation that is about to be made, by the next event. All fields at once, so that Lua sizes the table once.
local function unmade(shard, asked, body, claim, expire_ms)
  local epoch, seq, index = shard.epoch, shard.seq + 1, #shard.events
  return {state = UNMADE, revision = 0, create_ms = shard.now, update_ms = shard.now, expire_ms = expire_ms,
    created_epoch = epoch, created_seq = seq, created_index = index, epoch = epoch, seq = seq, index = index,
    reason = 0, asked = asked, body = body, note = '', claim = claim}
end

-- Takes back the overdue holds of a sale, the longest overdue first. False if the call has no room for all of them.
local function take_back(shard, sale)
  if sale.none_overdue ~= nil then return sale.none_overdue end
  local room = MOST_EXPIRIES - shard.expired
  local ids = redis.call('ZRANGEBYSCORE', sale.expiry_key, '-inf', shard.now, 'LIMIT', 0, room + 1)
  sale.none_overdue = #ids <= room
  if #ids > room then ids[#ids] = nil end
  load_records(sale, ids)
  load_accounts(sale, ids)
  for _, id in ipairs(ids) do move(shard, sale, id, sale.records[id], EXPIRED) end
  shard.expired = shard.expired + #ids
  return sale.none_overdue
end

------------------------------------------------------------------------------------------------- what is written

-- Writes the named entries of a hash in one command, and drops those that `encode` answers false for in another.
local function write_fields(key, prefix, names, known, encode)
  local set, drop, count = {}, {}, 0
  for name in pairs(names) do
    local value = encode(known[name])
    if value then
      set[count + 1], set[count + 2], count = prefix .. name, value, count + 2
    else
      drop[#drop + 1] = prefix .. name
    end
  end
  if count > 0 then redis.call('HSET', key, unpack(set)) end
  if #drop > 0 then redis.call('HDEL', key, unpack(drop)) end
end

local function text_unless_empty(buyer)
  return (buyer.held > 0 or buyer.sold > 0) and text_from_buyer(buyer)
end

-- Writes when holds end, and when the first of the sale's does.
local function write_expiry(sale)
  if next(sale.changed_expiry) == nil then return end
  local add, drop = {}, {}
  for id, expire_ms in pairs(sale.changed_expiry) do
    if expire_ms then
      add[#add + 1] = expire_ms
      add[#add + 1] = id
    else
      drop[#drop + 1] = id
    end
  end
  if #add > 0 then redis.call('ZADD', sale.expiry_key, unpack(add)) end
  if #drop > 0 then redis.call('ZREM', sale.expiry_key, unpack(drop)) end
  local first = redis.call('ZRANGE', sale.expiry_key, 0, 0, 'WITHSCORES')
  redis.call('ZADD', KEYS[3], first[2] or '+inf', sale.name)
end

local function write_sale(sale)
  write_fields(sale.key, 'item:', sale.changed_items, sale.items, text_from_item)
  write_fields(sale.reservations_key, '', sale.changed_records, sale.records, bytes_from_record)
  write_fields(sale.buyers_key, '', sale.changed_buyers, sale.buyers, text_unless_empty)
  write_expiry(sale)
end

-- Writes everything that the call changed, the outbox entry first; a call that changed nothing writes nothing.
local function commit(shard)
  if #shard.events == 0 then return end
  local payload = struct.pack('<BI8', 0x09, shard.now) .. table.concat(shard.events)
  local hash = redis.sha1hex(shard.hash .. payload)
  shard.seq = shard.seq + 1
  redis.call('XADD', KEYS[2], string.format('%.0f-%.0f', shard.epoch, shard.seq), 'p', payload, 'h', hash)
  redis.call('HSET', KEYS[1], 'seq', shard.seq, 'hash', hash, 'time', shard.now)
  for _, sale in ipairs(shard.sales) do write_sale(sale) end
end
