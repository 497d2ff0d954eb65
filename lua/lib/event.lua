-- event.lua: the events of a commit, in protobuf's bytes as commit.proto has them. Uses record.

local function varint(number)
  if number < 128 then return string.char(number) end
  if number < 16384 then return string.char(number % 128 + 128, math.floor(number / 128)) end
  local bytes = ''
  while number >= 128 do
    bytes = bytes .. string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  return bytes .. string.char(number)
end

-- What stands before the bytes of a field of protobuf's wire type 2.
local function field_head(tag, length)
  if length < 128 then return string.char(tag, length) end
  return string.char(tag) .. varint(length)
end

local function field(tag, bytes)
  return field_head(tag, #bytes) .. bytes
end

local function units_fields(tag, units)
  local fields = {}
  for at, line in ipairs(units) do
    local bytes = field(0x0a, line.sku)
    if line.quantity > 0 then bytes = bytes .. string.char(0x10) .. varint(line.quantity) end
    if line.sold > 0 then bytes = bytes .. string.char(0x18) .. varint(line.sold) end
    if line.came_back > 0 then bytes = bytes .. string.char(0x20) .. varint(line.came_back) end
    fields[at] = field(tag, bytes)
  end
  return table.concat(fields)
end

-- One `Event`, behind its tag in CommitBody: a ReservationChange of `record` as it now stands. `before` has its units
-- before the change, nil where the usual ones are on both sides; whether what came back left the sale is `discarded`.
local function change_event(record, previous, before, discarded)
  local claim = record[CLAIM]
  local change = field_head(0x0a, #claim) .. claim
    .. struct.pack('<BBBBBI4BI8BI8BI8BI8BI4', 0x10, previous, 0x18, record[STATE], 0x25, record[REVISION],
      0x29, record[CREATE_MS], 0x31, record[EXPIRE_MS], 0x39, record[CREATED_EPOCH], 0x41, record[CREATED_SEQ],
      0x4d, record[CREATED_INDEX])
  if record[NOTE] ~= '' then change = change .. field(0x52, record[NOTE]) end
  if record[REASON] ~= 0 then change = change .. struct.pack('BB', 0x58, record[REASON]) end
  if before then change = change .. units_fields(0x62, before) .. units_fields(0x6a, units_of(record)) end
  if discarded then change = change .. struct.pack('BB', 0x70, 1) end
  local head = field_head(0x0a, #change)
  return field_head(0x12, #head + #change) .. head .. change
end

-- Adds an event to the commit that this call will make.
local function add_event(shard, event)
  shard.events[#shard.events + 1] = event
end
