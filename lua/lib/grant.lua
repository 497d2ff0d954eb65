-- grant.lua: the record and the first event of a reservation that Reserve makes. Uses record event.
-- The grants of a call differ in id, buyer, lines and index; what they share is packed once, in a form for each end of a hold.

-- What the grants of a call with this end share; 0: their units are sold at once.
local function new_form(shard, expire_ms)
  local state, epoch, seq, now = expire_ms > 0 and HELD or CONFIRMED, shard.epoch, shard.seq + 1, shard.now
  return {
    state = state, expire_ms = expire_ms,
    record = cmsgpack.pack(state, 1, now, now, expire_ms, epoch, seq), -- the fields of a record before CREATED_INDEX
    position = cmsgpack.pack(epoch, seq), -- those before INDEX
    event = struct.pack('<BBBBBI4BI8BI8BI8BI8B', 0x10, NEW, 0x18, state, 0x25, 1, 0x29, now, 0x31, expire_ms, 0x39, epoch,
      0x41, seq, 0x4d), -- what stands between the Claim and the index
    heads = {}, texts = {}, -- what stands before a Claim in an event, before a text in a record, by the length
  }
end

-- What MessagePack has before a text of this length.
local function text_head(form, length)
  local head = length < 32 and string.char(0xa0 + length) or length < 256 and string.char(0xd9, length)
    or string.sub(cmsgpack.pack(string.rep(' ', length)), 1, -length - 1)
  form.texts[length] = head
  return head
end

-- As `bytes_from_record` packs it, without a reason ('\0') and a note ('\160', a text of length 0); the fingerprint is buyer
-- and terms. To pack a text costs more than to put its head before it.
local function new_record(form, index, buyer, terms, claim)
  local packed, heads, length = index < 128 and string.char(index) or cmsgpack.pack(index), form.texts, #buyer + #terms
  return form.record .. packed .. form.position .. packed .. '\0' .. (heads[length] or text_head(form, length)) .. buyer
    .. terms .. '\160' .. (heads[#claim] or text_head(form, #claim)) .. claim
end

-- What stands before a Claim of this length in an event.
local function new_event_head(form, length)
  local claim_head = field_head(0x0a, length)
  local change_length = #claim_head + length + #form.event + 4
  local change_head = field_head(0x0a, change_length)
  local head = field_head(0x12, #change_head + change_length) .. change_head .. claim_head
  form.heads[length] = head
  return head
end

-- As `change_event` writes it.
local function new_event(form, index, claim)
  local length = #claim
  local position = index < 256 and string.char(index, 0, 0, 0) or struct.pack('<I4', index) -- which takes longer
  return (form.heads[length] or new_event_head(form, length)) .. claim .. form.event .. position
end
