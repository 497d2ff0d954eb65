-- move.lua: a reservation moves from one state to another, and its units with it. Uses record sale settings event.

local MAX_EXPIRIES = 100 -- holds taken back by one call, so that no call blocks Redis for long

-- Adds units to the buyer's account of a limited item.
local function book_limited(sale, name, account, count)
  local limited = sale.buyers[name]
  limited[account] = limited[account] + count
  assert(limited[account] >= 0, 'an account below zero')
  sale.changed_buyers[name] = true
end

-- Adds what a reservation in `state` has of its items to their accounts and those of the buyer `name`, or takes it off where `sign` is
-- -1. What is `discarded` leaves the sale: it is not available then.
local function book(sale, name, units, state, sign, discarded)
  local account, buyer = state == HELD and 'held' or state == CONFIRMED and 'sold', sale.buyers[name]
  if not account then return end
  for at = 1, #units do
    local line = units[at]
    local item, count = sale.items[line.sku], sign * (state == HELD and line.quantity or line.sold - line.came_back)
    local of_item, of_buyer, available = item[account] + count, buyer[account] + count, item.available
    if not discarded then available = available - count end
    assert(of_item >= 0 and of_buyer >= 0 and available >= 0, 'an account below zero')
    item[account], buyer[account], item.available = of_item, of_buyer, available
    sale.changed_items[line.sku] = true
    if item.limit then book_limited(sale, name_of_limited(name, line.sku), account, count) end
  end
end

-- Moves a reservation on (or makes it, from NEW) to `state` and the units `after`, by default the usual ones: the one place
-- where units change account and an event is added. Its items and buyer must have been read.
local function move(shard, sale, id, record, state, after, discarded)
  local previous, before, was_unusual, buyer = record[STATE], units_of(record), record[UNITS], terms_of(record).buyer
  set_units(record, state, after)
  if buyer and (state ~= previous or record.units ~= before) then -- a spent id has no buyer, and an extend moves no unit
    if previous ~= NEW then book(sale, buyer, before, previous, -1, discarded) end
    book(sale, buyer, record.units, state, 1, discarded)
    sale.changed_buyers[buyer] = true
  end
  record[REVISION], record[UPDATE_MS] = record[REVISION] + 1, shard.now
  record[EPOCH], record[SEQ], record[INDEX] = shard.epoch, shard.seq + 1, #shard.events
  add_event(shard, change_event(record, previous, (was_unusual or record[UNITS]) and before, discarded))
  sale.records[id], sale.changed_records[id] = record, true
  if state == HELD and previous == NEW then sale.changed_expiry[id] = record[EXPIRE_MS]
  elseif previous == HELD and state ~= HELD then sale.changed_expiry[id] = false end
end

-- Lets a hold end later; a move follows.
local function extend(sale, id, record, expire_ms)
  record[EXPIRE_MS], sale.changed_expiry[id], sale.has_extended = expire_ms, expire_ms, true
end

-- Takes back the overdue holds of a sale, and the released ones, the longest overdue first. False if they are more than
-- the call may take back. The sale's settings must have been read.
local function expire_overdue(shard, sale)
  if sale.overdue_cleared ~= nil then return sale.overdue_cleared end
  local room = MAX_EXPIRIES - shard.expired
  local ids = redis.call('ZRANGEBYSCORE', sale.expiry_key, '-inf', last_due(shard, sale), 'LIMIT', 0, room + 1)
  sale.overdue_cleared = #ids <= room
  if #ids > room then ids[#ids] = nil end
  load_records(sale, ids)
  load_accounts(sale, ids)
  for _, id in ipairs(ids) do
    local record = sale.records[id]
    local state = effective(shard, sale, record)
    if state == RELEASED then record[NOTE] = sale.settings.release_reason end
    move(shard, sale, id, record, state, units_of(record))
  end
  shard.expired = shard.expired + #ids
  return sale.overdue_cleared
end
