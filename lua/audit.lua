#!lua flags=no-writes
--[[ audit.lua: read a page of a sale, or some of its reservations, as they are stored, with the shard's last commit, by
     which the caller detects changes between two calls.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)  4 sale  5 reservations (hashes)  6 expiry (zset)  7 buyers (hash)
ARGV   1 observed  2 latest (both unused)  3 cursor of HSCAN, 0 to begin  4 reservations wanted, about
       5 .. ids of reservations, if only these are to be read, and no items and settings
Reply  {PAGE, is late, epoch, seq, hash, next cursor, items, reservations, settings, frozen, archived}
       is late: 1 if the sale is due neither by now nor when its first hold ends, so that holds end late or never, else 0
       items, settings: only with cursor 0; the settings as they are packed, none if there is no such sale
       an item: {sku, available, held, sold, limit of one buyer or 0}
       a reservation: {id, state, revision, end of its hold, when that is due or 0, created epoch, seq, index,
       epoch, seq, index of its latest change, buyer, units}; its units: sku, quantity, sold, came back and so on
       an overdue hold is HELD here, as in the ledger, until it is taken back
       frozen: why the shard is, else ''; archived: "epoch-seq", no record that changed after it has been archived
Keeps  Writes nothing, and reads a shard that does not serve, too.
Uses   clock shard record sale entries ]]

local function item_replies()
  local items = {}
  local fields = redis.call('HGETALL', KEYS[4])
  for at = 1, #fields, 2 do
    local sku = string.match(fields[at], '^item:(.*)$')
    if sku then
      local item = item_from_text(fields[at + 1])
      items[#items + 1] = {sku, item.available, item.held, item.sold, item.limit or 0}
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
    record[CREATED_EPOCH], record[CREATED_SEQ], record[CREATED_INDEX], record[EPOCH], record[SEQ], record[INDEX],
    terms_of(record).buyer or '', lines}
end

local function settings_reply()
  local bytes = redis.call('HGET', KEYS[4], 'settings')
  return bytes and {cmsgpack.unpack(bytes)} or {}
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
local entries, cursor = read_entries(KEYS[5], ARGV[3], ARGV[4], {unpack(ARGV, 5)})
local reservations = {}
for at = 1, #entries, 2 do
  reservations[#reservations + 1] = reservation_reply(entries[at], record_from_bytes(entries[at + 1]))
end
local is_first = ARGV[3] == '0' and not ARGV[5]
return {'PAGE', is_late(shard) and 1 or 0, shard.epoch or 0, shard.seq, shard.hash, cursor, is_first and item_replies() or {},
  reservations, is_first and settings_reply() or {}, shard.frozen or '', redis.call('HGET', KEYS[1], 'archived') or '0-0'}
