#!lua flags=no-writes
--[[ audit.lua: read a page of a sale as it is stored, with its shard's last commit, by which the caller detects changes
     between two pages.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)  4 sale  5 reservations (hashes)  6 expiry (zset)  7 buyers (hash)
ARGV   1 observed  2 latest (both unused)  3 cursor of HSCAN, 0 to begin  4 reservations wanted, about
Reply  {PAGE, is late, epoch, seq, hash, next cursor, items, reservations}; items only with cursor 0
       is late: 1 if the sale is due neither by now nor when its first hold ends, so that holds end late or never, else 0
       an item: {sku, available, held, sold}
       a reservation: {id, state, revision, end of its hold, when that is due or 0, created epoch, seq, index, units}
       its units: sku, quantity, sold, came back and so on; an overdue hold is HELD here, as in the ledger, until it is taken back
Keeps  Writes nothing, and reads a shard that does not serve, too.
Uses   clock shard record sale ]]

local function item_replies()
  local items = {}
  local fields = redis.call('HGETALL', KEYS[4])
  for at = 1, #fields, 2 do
    local sku = string.match(fields[at], '^item:(.*)$')
    if sku then
      local item = item_from_text(fields[at + 1])
      items[#items + 1] = {sku, item.available, item.held, item.sold}
    end
  end
  return items
end

local function reservation_reply(id, record)
  local lines = {}
  for _, line in ipairs(units_of(record)) do
    for _, value in ipairs({line.sku, line.quantity, line.sold, line.came_back}) do lines[#lines + 1] = value end
  end
  local due = tonumber(redis.call('ZSCORE', KEYS[6], id) or 0)
  return {id, record[STATE], record[REVISION], record[EXPIRE_MS], due,
    record[CREATED_EPOCH], record[CREATED_SEQ], record[CREATED_INDEX], lines}
end

-- Holds are looked for in a sale when `due` says so.
local function is_late(shard)
  local first = tonumber(redis.call('ZRANGE', KEYS[6], 0, 0, 'WITHSCORES')[2])
  local due = tonumber(redis.call('ZSCORE', KEYS[3], string.match(KEYS[4], '}:sale:(.*)$')) or '+inf')
  return first and due > math.max(first, wall_time_ms(), shard.time)
end

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
local found = redis.call('HSCAN', KEYS[5], ARGV[3], 'COUNT', ARGV[4])
local reservations = {}
for at = 1, #found[2], 2 do
  reservations[#reservations + 1] = reservation_reply(found[2][at], record_from_bytes(found[2][at + 1]))
end
local items = ARGV[3] == '0' and item_replies() or {}
return {'PAGE', is_late(shard) and 1 or 0, shard.epoch or 0, shard.seq, shard.hash, found[1], items, reservations}
