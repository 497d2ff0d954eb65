-- record.lua: a stored reservation, `id -> bytes` in the hash `reservations`, and how it stands at a moment.

local HELD, CONFIRMED, RELEASED, EXPIRED, COMPENSATED, RETURNED = 1, 2, 3, 4, 5, 6 -- a ReservationState each
local NEW = 0 -- the state before the first

-- A record is an array; these are its fields, in the order in which they are packed, as RecordReply of reads.py has them.
-- CREATED_* never change: they are the reservation's identity. FINGERPRINT is the text of the Reserve, "buyer ttl
-- sku=quantity ..", with " #reference" at its end only where one was given: a repeat has the same one, a reuse of the id
-- another; that of a spent id is ''. CLAIM has the bytes of the Claim, which every event repeats. A record may also have
-- `terms`: its fingerprint, parsed.
local STATE, REVISION, CREATE_MS, UPDATE_MS, EXPIRE_MS, CREATED_EPOCH, CREATED_SEQ, CREATED_INDEX, EPOCH, SEQ, INDEX,
  REASON, FINGERPRINT, NOTE, CLAIM = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15

local function record_from_bytes(bytes)
  return {cmsgpack.unpack(bytes)}
end

local function bytes_from_record(record)
  return cmsgpack.pack(unpack(record, 1, CLAIM))
end

-- A reservation that the next event will make: the fields in their order.
local function new_record(shard, fingerprint, terms, claim, expire_ms)
  local now, epoch, seq, index = shard.now, shard.epoch, shard.seq + 1, #shard.events
  return {NEW, 0, now, now, expire_ms, epoch, seq, index, epoch, seq, index, 0, fingerprint, '', claim, terms = terms}
end

-- The buyer, the asked life of the hold ('-': the sale's) and the lines of a fingerprint; a reference has no '='.
local function parse_terms(fingerprint)
  local buyer, ttl, sku, quantity = string.match(fingerprint, '^([^ ]+) ([^ ]+) ([^ =]+)=(%d+)$')
  if buyer then -- the usual case, one line and no reference: the loop below costs more than all else done with the terms
    local units = tonumber(quantity)
    return {buyer = buyer, ttl = ttl, lines = {{sku = sku, quantity = units}}, units = units}
  end
  buyer, ttl = string.match(fingerprint, '^(%S+) (%S+)')
  local lines, units = {}, 0
  for next_sku, next_quantity in string.gmatch(fingerprint, '(%S+)=(%d+)') do
    local line = {sku = next_sku, quantity = tonumber(next_quantity)}
    lines[#lines + 1] = line
    units = units + line.quantity
  end
  return {buyer = buyer, ttl = ttl, lines = lines, units = units}
end

local function terms_of(record)
  if not record.terms then record.terms = parse_terms(record[FINGERPRINT]) end
  return record.terms
end

-- The state that every call sees: a hold whose end has come is EXPIRED, and one that stood when its sale was closed with
-- a release of its holds is RELEASED, whether or not it was taken back yet. The sale's settings must have been read.
local function effective(shard, sale, record)
  local state = record[STATE]
  if state ~= HELD then return state end
  local release_ms, expire_ms = sale.settings.release_ms, record[EXPIRE_MS]
  if release_ms > 0 and expire_ms > release_ms then return RELEASED end
  return shard.now >= expire_ms and EXPIRED or HELD
end

-- A reservation as replies carry it: its fields up to NOTE, but the state as every call sees it.
local function record_reply(shard, sale, result, record)
  return {result, effective(shard, sale, record), unpack(record, REVISION, NOTE)}
end
