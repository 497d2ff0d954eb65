-- judge_move.lua: what a move of a reservation leads to, in one table, and the move itself. Uses record settings move.
-- A request has  kind, a row's name; note; revision that must be found, nil for any; lines, sku -> quantity, nil where
-- none are named; ttl_ms, the asked life of a hold; discards, whether what comes back leaves the sale.

-- The table of moves. `outcomes`: state as every call sees it, NEW where there is no record -> new state, or a result;
-- any other is WRONG_STATE. Where not `sets_note`, the record keeps its note. MOVES of moves.py has the same.
local MOVES = {
  CONFIRM = {outcomes = {[HELD] = CONFIRMED, [CONFIRMED] = 'REPLAYED'}, sets_note = false},
  RELEASE = {outcomes = {[HELD] = RELEASED, [RELEASED] = 'REPLAYED', [EXPIRED] = 'REPLAYED',
    [COMPENSATED] = 'REPLAYED', [RETURNED] = 'REPLAYED'}, sets_note = true},
  SPEND = {outcomes = {[NEW] = RELEASED, [HELD] = RELEASED, [RELEASED] = 'REPLAYED', [EXPIRED] = 'REPLAYED',
    [COMPENSATED] = 'REPLAYED', [RETURNED] = 'REPLAYED'}, sets_note = true},
  EXTEND = {outcomes = {[HELD] = HELD}, sets_note = false},
  RETURN = {outcomes = {[CONFIRMED] = RETURNED, [RETURNED] = RETURNED}, sets_note = true},
}

-- The lines of a request, from "sku=quantity .."; '': it names none.
local function lines_from_text(text)
  if text == '' then return nil end
  local lines = {}
  for sku, quantity in string.gmatch(text, '(%S+)=(%d+)') do lines[sku] = tonumber(quantity) end
  return lines
end

-- The quantity of a SKU that a request names; `all` where it names no lines.
local function named_quantity(request, sku, all)
  if not request.lines then return all end
  return request.lines[sku] or 0
end

-- Whether a request names more than these units have in `column`, where a SKU that is not claimed has none.
local function names_more(request, units, column)
  local most = {}
  for _, line in ipairs(units) do most[line.sku] = line[column] end
  for sku, quantity in pairs(request.lines or {}) do
    if quantity > (most[sku] or 0) then return true end
  end
  return false
end

local function with_field(units, column, value_of)
  local changed = {}
  for at, line in ipairs(units) do
    changed[at] = {sku = line.sku, quantity = line.quantity, sold = line.sold, came_back = line.came_back}
    changed[at][column] = value_of(line)
  end
  return changed
end

-- What the moves of a part lead to: the units after each, or nil and a result.
local UNITS_AFTER = {
  CONFIRM = function(units, request)
    if names_more(request, units, 'quantity') then return nil, 'MORE_THAN_HELD' end
    return with_field(units, 'sold', function(line) return named_quantity(request, line.sku, line.quantity) end)
  end,
  EXTEND = function(units) return units end,
  RETURN = function(units, request)
    if names_more(request, units, 'sold') then return nil, 'MORE_THAN_SOLD' end
    return with_field(units, 'came_back', function(line)
      return math.max(line.came_back, named_quantity(request, line.sku, line.sold))
    end)
  end,
}

-- A return of a part leaves its reservation CONFIRMED.
local function state_after(units, outcome)
  if outcome ~= RETURNED then return outcome end
  for _, line in ipairs(units) do
    if line.came_back < line.sold then return CONFIRMED end
  end
  return RETURNED
end

-- When a hold ends: at most the sale's longest life after its creation, and never sooner than before.
local function end_after(sale, record, request)
  if request.kind ~= 'EXTEND' then return record[EXPIRE_MS] end
  return math.max(record[EXPIRE_MS], record[CREATE_MS] + math.min(request.ttl_ms, sale.settings.max_hold_ttl_ms))
end

-- A repeated confirm asks for what was sold, whatever has come back since.
local function judge_repeated_confirm(record, request)
  local units = units_of(record)
  if names_more(request, units, 'sold') then return 'CONFIRMED_OTHERWISE' end
  for _, line in ipairs(units) do
    if line.sold ~= named_quantity(request, line.sku, line.quantity) then return 'CONFIRMED_OTHERWISE' end
  end
  return 'REPLAYED'
end

-- The units after a move, or nil and a result. The first line is by far the most frequent case.
local function units_after(record, request, outcome)
  if not (request.lines or record[UNITS]) then return usual_units(record, outcome) end
  local of_kind = UNITS_AFTER[request.kind]
  if of_kind then return of_kind(units_of(record), request) end
  return units_in(units_of(record), outcome)
end

-- Judges a move of a record that is there, or that a SPEND makes, and carries it out: the result. `judge_move` in moves.py
-- has the same rule.
local function judge_move(shard, sale, record, request)
  local rule, before = MOVES[request.kind], units_of(record)
  local outcome = rule.outcomes[effective(shard, sale, record)]
  if not outcome then return 'WRONG_STATE' end
  if outcome == 'REPLAYED' then
    return request.kind == 'CONFIRM' and judge_repeated_confirm(record, request) or 'REPLAYED'
  end
  local units, refused = units_after(record, request, outcome)
  local state, expire_ms = state_after(units or before, outcome), end_after(sale, record, request)
  local stands_so = units and state == record[STATE] and expire_ms == record[EXPIRE_MS] and are_equal(units, before)
  if stands_so then return 'REPLAYED' end
  if request.revision and record[STATE] ~= NEW and request.revision ~= record[REVISION] then
    return 'REVISION_MISMATCH'
  end
  if refused then return refused end
  if rule.sets_note then record[NOTE] = request.note end
  if expire_ms ~= record[EXPIRE_MS] then extend(sale, request.id, record, expire_ms) end
  move(shard, sale, request.id, record, state, units, request.kind == 'RETURN' and request.discards)
  return 'MOVED'
end
