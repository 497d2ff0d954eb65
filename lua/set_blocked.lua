#!lua flags=allow-oom
--[[ set_blocked.lua: change a shard's copy of the list of blocked buyers, or replace the copy by the list in steps.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       4 blocked (hash): tenant/buyer -> a version of the list in which the buyer is
ARGV   1 observed  2 latest (unused)  3 step  4 version of the list
       BLOCK, UNBLOCK   5 version before that change, the same if nothing was changed  6 tenant/buyer
       BEGIN            5 version of the copy before that of the list was read, or 0: the copy is replaced by the list of
                        this version; another replacement that is under way ends
       ADD              from 5 on: tenant/buyer, of that list, at most 1000
       DROP             5 cursor, 0 to begin: drops what ADD did not name, and with the last step the copy is complete
Reply  {DONE, next cursor of DROP, '' of every other step}
       {OLD}: of BLOCK and UNBLOCK, the copy has the change or what replaced it   {GONE}: another replacement has begun
Keeps  `blocked` of meta is the size of the hash. `blocked_version` is a version of the list up to which the copy has every
       change; it is missing while the copy is replaced. So a change that was lost shows, and the next replacement, which
       drops as well as adds, corrects what is lost, doubled or late.
Uses   clock shard ]]

local SCAN_COUNT = 1000

local shard = read_meta()
local not_serving = shard_error(shard)
if not_serving then return not_serving end

local step, version = ARGV[3], tonumber(ARGV[4])
local found = redis.call('HMGET', KEYS[1], 'blocked_version', 'blocked_replacement')
local complete, replacement = tonumber(found[1]), tonumber(found[2])

-- A change that the copy has already, or will have once it is replaced, is not made again: a later one may undo it.
local function change(name)
  if version < (replacement or complete or 0) then return 'OLD' end
  local since = tonumber(redis.call('HGET', KEYS[4], name) or -1)
  if step == 'BLOCK' then
    redis.call('HSET', KEYS[4], name, math.max(since, version))
  elseif since <= version then
    redis.call('HDEL', KEYS[4], name)
  end
  if complete == tonumber(ARGV[5]) then redis.call('HSET', KEYS[1], 'blocked_version', version) end
  return 'DONE'
end

-- A copy that was newer than the list before the list was asked is of a ledger that was set back. One that is newer only
-- now has changes that were made since; whom it blocks stays blocked meanwhile.
local function begin(seen)
  if math.max(replacement or 0, seen) > version then redis.call('UNLINK', KEYS[4]) end
  redis.call('HDEL', KEYS[1], 'blocked_version')
  redis.call('HSET', KEYS[1], 'blocked_replacement', version)
  return 'DONE'
end

local function add()
  local fields = {}
  for at = 5, #ARGV do
    fields[#fields + 1] = ARGV[at]
    fields[#fields + 1] = version
  end
  redis.call('HSET', KEYS[4], unpack(fields))
  return 'DONE'
end

-- What was blocked after this version of the list is kept.
local function drop(cursor)
  local scanned, old = redis.call('HSCAN', KEYS[4], cursor, 'COUNT', SCAN_COUNT), {}
  for at = 1, #scanned[2], 2 do
    if tonumber(scanned[2][at + 1]) < version then old[#old + 1] = scanned[2][at] end
  end
  if #old > 0 then redis.call('HDEL', KEYS[4], unpack(old)) end
  if scanned[1] == '0' then
    redis.call('HDEL', KEYS[1], 'blocked_replacement')
    redis.call('HSET', KEYS[1], 'blocked_version', version)
  end
  return 'DONE', scanned[1]
end

local function take_step()
  if step == 'BLOCK' or step == 'UNBLOCK' then return change(ARGV[6]) end
  if step == 'BEGIN' then return begin(tonumber(ARGV[5])) end
  if replacement ~= version then return 'GONE' end
  if step == 'ADD' then return add() end
  return drop(ARGV[5])
end

local result, cursor = take_step()
redis.call('HSET', KEYS[1], 'blocked', redis.call('HLEN', KEYS[4]))
return {result, cursor or ''}
