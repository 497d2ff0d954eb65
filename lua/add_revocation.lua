#!lua flags=allow-oom
--[[ add_revocation.lua: append a revocation to the stream that every server reads, and drop those that are over.
KEYS   1 revocations (stream), which is of no shard
ARGV   1 ms for which an entry is kept  then its fields: name, value, name, value ..
Reply  {id of the entry}
Keeps  An entry stays until no token that it names can be valid. It goes with the first one that is added after that, and
       the last one with the key.
Uses   clock ]]

local keep_ms = tonumber(ARGV[1])

local oldest = string.format('%.0f', math.max(wall_time_ms() - keep_ms, 0))
local id = redis.call('XADD', KEYS[1], 'MINID', oldest, '*', unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {id}
