#!lua flags=no-writes
--[[ audit_buyers.lua: read the units of some buyers of a sale as they are stored, with the shard's last commit.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)  4 sale  5 reservations (hashes)  6 expiry (zset)  7 buyers (hash)
ARGV   1 observed  2 latest (both unused)  3 cursor of HSCAN, 0 to begin  4 buyers wanted, about
       5 .. names, if only these are to be read
Reply  {BUYERS, epoch, seq, hash, next cursor, frozen, names and units}; the last: a name, units held, units sold and so on
       frozen: why the shard is, else ''
Keeps  Writes nothing, and reads a shard that does not serve, too.
Uses   clock shard record sale entries ]]

local shard = read_meta()
local other_format = format_error(shard)
if other_format then return other_format end

local entries, cursor = read_entries(KEYS[7], ARGV[3], ARGV[4], {unpack(ARGV, 5)})
local units = {}
for at = 1, #entries, 2 do
  units[#units + 1] = entries[at]
  units[#units + 1], units[#units + 2] = units_from_account(entries[at + 1])
end
return {'BUYERS', shard.epoch or 0, shard.seq, shard.hash, cursor, shard.frozen or '', units}
