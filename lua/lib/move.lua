-- move.lua: a reservation moves from one state to another, and its units with it. Uses record sale settings event.

local MAX_EXPIRIES = 100 -- holds taken back by one call, so that no call blocks Redis for long

-- Adds what a reservation in `state` has of its items to their accounts and those of the buyer, or takes it off where `sign` is -1.
-- What is `discarded` leaves the sale: it is not available then.
local function book(sale, buyer, units, state, sign, discarded)
  local account = state == HELD and 'held' or state == CONFIRMED and 'sold'
  if not account then return end
  local of_buyers, changed = sale[account], (sale.changes or changes_of(sale)).accounts
  for at = 1, #units do
    local line = units[at]
    local item, count = sale.items[line.sku], sign * (state == HELD and line.quantity or line.sold - line.came_back)
    local of_item, of_buyer, available = item[account] + count, (of_buyers[buyer] or 0) + count, item.available
    if not discarded then available = available - count end
    if of_item < 0 or of_buyer < 0 or available < 0 then error('an account below zero') end -- `assert` takes longer
    item[account], of_buyers[buyer], item.available, item.changed = of_item, of_buyer, available, true
    if item.limit then
      local name = name_of_limited(buyer, line.sku)
      of_buyers[name], changed[name] = (of_buyers[name] or 0) + count, true
      assert(of_buyers[name] >= 0, 'an account below zero')
    end
  end
  changed[buyer] = true
end

-- Notes whether a hold that ended at `expire_ms`, and does so no more, may have been the first of its sale to end.
local function note_first(sale, expire_ms)
  if expire_ms <= sale.due_ms or sale.settings.release_ms > 0 then changes_of(sale).is_first_gone = true end
end

local function drop_end(sale, id, expire_ms)
  local ended = changes_of(sale).ended
  ended[#ended + 1] = id
  note_first(sale, expire_ms)
end

-- Moves a reservation on to `state` and the units `after`, by default the usual ones, or spends the id of a NEW one: the one
-- place where an event of a reservation is added, but for the first one of those that Reserve makes. Its items and buyer
-- must have been read.
local function move(shard, sale, id, record, state, after, discarded)
  local previous, before, was_unusual, buyer = record[STATE], units_of(record), record[UNITS], terms_of(record).buyer
  set_units(record, state, after)
  if buyer and (state ~= previous or record.units ~= before) then -- a spent id has no buyer, and an extend moves no unit
    if previous ~= NEW then book(sale, buyer, before, previous, -1, discarded) end
    book(sale, buyer, record.units, state, 1, discarded)
  end
  record[REVISION], record[UPDATE_MS] = record[REVISION] + 1, shard.now
  record[EPOCH], record[SEQ], record[INDEX] = shard.epoch, shard.seq + 1, #shard.events
  add_event(shard, change_event(record, previous, (was_unusual or record[UNITS]) and before, discarded))
  sale.records[id], changes_of(sale).records[id] = record, true
  if previous == HELD and state ~= HELD then drop_end(sale, id, record[EXPIRE_MS]) end
end

-- Notes when a hold ends.
local function add_end(sale, id, expire_ms)
  local changes = sale.changes or changes_of(sale)
  local ends, count = changes.ends, #changes.ends
  ends[count + 1], ends[count + 2] = expire_ms, id
  if not changes.first_end or expire_ms < changes.first_end then changes.first_end = expire_ms end
end

-- Lets a hold end later; a move follows.
local function extend(sale, id, record, expire_ms)
  note_first(sale, record[EXPIRE_MS])
  record[EXPIRE_MS] = expire_ms
  add_end(sale, id, expire_ms)
end

-- Takes back these holds, all of them overdue or released.
local function take_back(shard, sale, ids)
  load_records(sale, ids)
  load_moved(sale, ids)
  for _, id in ipairs(ids) do
    local record = record_of(sale, id)
    local state = effective(shard, sale, record)
    if state == RELEASED then record[NOTE] = sale.settings.release_reason end
    move(shard, sale, id, record, state, units_of(record))
  end
  shard.expired = (shard.expired or 0) + #ids
end

-- Takes back the overdue holds of a sale, and the released ones, the longest overdue first. False if they are more than
-- the call may take back. The sale's settings must have been read.
local function expire_overdue(shard, sale)
  if sale.overdue_cleared ~= nil then return sale.overdue_cleared end
  local room = MAX_EXPIRIES - (shard.expired or 0)
  local ids = redis.call('ZRANGEBYSCORE', sale.expiry_key, '-inf', last_due(shard, sale), 'LIMIT', 0, room + 1)
  sale.overdue_cleared = #ids <= room
  if #ids > room then ids[#ids] = nil end
  if #ids > 0 then take_back(shard, sale, ids) end
  return sale.overdue_cleared
end
