-- record.lua: a stored reservation, `id -> bytes` in the hash `reservations`, and how it stands at a moment.

local HELD, CONFIRMED, RELEASED, EXPIRED, COMPENSATED, RETURNED = 1, 2, 3, 4, 5, 6 -- a ReservationState each
local NEW = 0 -- the state before the first
local ID_REUSED = 2 -- a CompensationReason

-- A record is an array; these are its fields, in the order in which they are packed, as RecordReply of reads.py has them.
-- CREATED_* never change: they are the reservation's identity. FINGERPRINT is the text of the Reserve, "buyer ttl
-- sku=quantity ..", with " #reference" at its end only where one was given: a repeat has the same one, a reuse of the id
-- another; that of a spent id is ''. CLAIM has the bytes of the Claim, which every event repeats. UNITS is the text
-- "sku=quantity:sold:came_back ..", and not there (15 fields are packed then) where state and fingerprint imply the units.
-- A record also has `terms` and `units`, its fingerprint and its units, once they are parsed. They are false before: a
-- table costs less with room for them than when it grows.
local STATE, REVISION, CREATE_MS, UPDATE_MS, EXPIRE_MS, CREATED_EPOCH, CREATED_SEQ, CREATED_INDEX, EPOCH, SEQ, INDEX,
  REASON, FINGERPRINT, NOTE, CLAIM, UNITS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16

local function record_from_bytes(bytes)
  return {terms = false, units = false, cmsgpack.unpack(bytes)}
end

local function bytes_from_record(record)
  return cmsgpack.pack(unpack(record, 1, record[UNITS] and UNITS or CLAIM))
end

local known_lines = {} -- text -> lines: in a call many carts are alike, and share one list, which is never changed

-- The lines "sku=quantity .." of a text as units that are claimed and not sold, with the sum of their quantities in `units`.
local function parse_lines(text)
  local lines = known_lines[text]
  if lines then return lines end
  lines = {units = 0, short_sale = false, short_events = false, short_at = false} -- what checks.lua notes there
  for sku, quantity in string.gmatch(text, '([^ ]+)=(%d+)') do
    local line = {sku = sku, quantity = quantity + 0, sold = 0, came_back = 0}
    lines[#lines + 1], lines.units = line, lines.units + line.quantity
  end
  known_lines[text] = lines
  return lines
end

-- The buyer, the asked life of the hold ('-': the sale's) and the text of the lines in a fingerprint; a reference, behind
-- '#', is left out. Nothing of that of a spent id.
local function split_fingerprint(fingerprint)
  return string.match(fingerprint, '^([^ ]+) ([^ ]+) ([^#]+)')
end

local function terms_of(record)
  if not record.terms then
    local buyer, _, text = split_fingerprint(record[FINGERPRINT])
    record.terms = {buyer = buyer, lines = parse_lines(text or '')}
  end
  return record.terms
end

-- Units once their whole quantity has gone to `state`.
local function units_in(units, state)
  local moved, is_sold, is_back = {}, state == CONFIRMED or state == RETURNED, state == RETURNED
  for at = 1, #units do
    local line = units[at]
    moved[at] = {sku = line.sku, quantity = line.quantity, sold = is_sold and line.quantity or 0,
      came_back = is_back and line.quantity or 0}
  end
  return moved
end

-- The units of whole lines in `state`: where nothing was sold, the very lines.
local function lines_in(lines, state)
  if state ~= CONFIRMED and state ~= RETURNED then return lines end
  local name = state == CONFIRMED and 'sold' or 'returned'
  if not lines[name] then lines[name] = units_in(lines, state) end
  return lines[name]
end

-- The units that state and fingerprint imply.
local function usual_units(record, state)
  return lines_in(terms_of(record).lines, state)
end

local function units_from_text(text)
  local units = {}
  for sku, quantity, sold, came_back in string.gmatch(text, '(%S+)=(%d+):(%d+):(%d+)') do
    units[#units + 1] = {
      sku = sku, quantity = tonumber(quantity), sold = tonumber(sold), came_back = tonumber(came_back),
    }
  end
  return units
end

local function text_from_units(units)
  local lines = {}
  for at, line in ipairs(units) do
    lines[at] = string.format('%s=%d:%d:%d', line.sku, line.quantity, line.sold, line.came_back)
  end
  return table.concat(lines, ' ')
end

-- How a record stands with each of its items: a list of {sku, quantity, sold, came_back}, sorted by SKU. While it is HELD,
-- the quantity is held; while it is CONFIRMED, what is sold and has not come back is sold; else it has no units.
local function units_of(record)
  if not record.units then
    record.units = record[UNITS] and units_from_text(record[UNITS]) or usual_units(record, record[STATE])
  end
  return record.units
end

local function are_equal(units, others)
  if units == others then return true end
  if #units ~= #others then return false end
  for at, line in ipairs(units) do
    local other = others[at]
    if line.sku ~= other.sku or line.quantity ~= other.quantity or line.sold ~= other.sold
      or line.came_back ~= other.came_back then return false end
  end
  return true
end

-- Sets state and units of a record, by default the usual ones; UNITS is set only where they are others.
local function set_units(record, state, units)
  local usual, text = usual_units(record, state), nil
  if units and units ~= usual and not are_equal(units, usual) then text = text_from_units(units) end
  record[STATE], record.units = state, units or usual
  if text ~= record[UNITS] then record[UNITS] = text end -- setting what is not there to nil would make the table grow
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

-- Whether reads and moves do not find a record: the ledger refused it, for it knows an earlier one of this id, and answers.
local function is_unknown(record)
  return record[REASON] == ID_REUSED
end

-- A reservation as replies carry it: its fields up to NOTE, but state and note as they will be once its hold was taken back
-- if it has ended, and UNITS or '' in the place of the Claim.
local function record_reply(shard, sale, result, record)
  local state, reply = effective(shard, sale, record), {result, unpack(record, STATE, CLAIM)}
  if state == RELEASED and record[STATE] == HELD then reply[1 + NOTE] = sale.settings.release_reason end
  reply[1 + STATE], reply[1 + CLAIM] = state, record[UNITS] or ''
  return reply
end
