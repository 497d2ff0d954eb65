#!lua flags=allow-oom
--[[ takeover_load_part.lua: write one part of a shard's state as the ledger has it; parts are numbered from 1.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then per sale  sale, reservations (hashes), expiry (zset), buyers (hash)
       then per sale  adjustments (hash)
ARGV   1 observed  2 latest (both unused)  3 token of the take-over  4 identity of the Redis in which it began
       5 number of the part  then per sale: since or from when the part's holds are due in ms, '' without holds, and five
       lists, each behind the number of its values: fields of the sale with their values, ids with records, ends of
       holds with ids, buyers with units, ids with adjustments
Reply  {WRITTEN}   {DONE}: this part was written before
       {GONE}: another take-over, another Redis, not void, or without the part before, as when its memory was set back
Keeps  A part that comes twice is written once, and none is left out. No key of a sale is read before the last part.
Uses   clock shard record sale ]]

local CHUNK = 4000 -- values in one command: `unpack` fails from 8,000

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end
shard.sales = {}
if shard.takeover_token ~= ARGV[3] or read_identity() ~= ARGV[4] or shard.hash ~= 'void' then return {'GONE'} end
local number, written = tonumber(ARGV[5]), tonumber(redis.call('HGET', KEYS[1], 'parts') or 0)
if number <= written then return {'DONE'} end
if number > written + 1 then return {'GONE'} end

-- Writes the list at `at` of ARGV and returns where the next one begins.
local function write_list(at, command, key)
  local first, last = at + 1, at + tonumber(ARGV[at])
  while first <= last do
    redis.call(command, key, unpack(ARGV, first, math.min(first + CHUNK - 1, last)))
    first = first + CHUNK
  end
  return last + 1
end

local at, sales = 6, (#KEYS - 3) / 5
for sale_number = 1, sales do
  local sale, earliest = open_sale(shard, sale_number), ARGV[at]
  redis.call('ZADD', KEYS[3], 'NX', '+inf', name_of(sale))
  if earliest ~= '' then redis.call('ZADD', KEYS[3], 'LT', earliest, name_of(sale)) end
  at = write_list(at + 1, 'HSET', sale.key)
  at = write_list(at, 'HSET', sale.reservations_key)
  at = write_list(at, 'ZADD', sale.expiry_key)
  at = write_list(at, 'HSET', sale.buyers_key)
  at = write_list(at, 'HSET', KEYS[3 + 4 * sales + sale_number])
end
redis.call('HSET', KEYS[1], 'parts', number)
return {'WRITTEN'}
