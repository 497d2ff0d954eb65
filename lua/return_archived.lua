#!lua flags=allow-oom
--[[ return_archived.lua: take back sold units of a reservation that has left a sale that has not: store its record again
     as the ledger has it, and move it.
KEYS   1 meta (hash)  2 outbox (stream)  3 due (zset)
       then of the sale  sale, reservations (hashes), expiry (zset), buyers (hash)
ARGV   1 observed  2 latest  3, 4 epoch and seq of the shard's last commit before a call that found no record
       5, 6 epoch and seq of the ledger's watermark when the record was read there, after that call  7 bytes of the record
       8 id  9 note  10 revision that must be found ('': any)  11 lines "sku=quantity .." ('': all)
       12 1 if what comes back leaves the sale (else '')
Reply  {now, epoch, seq, settled epoch, settled seq, result ..}, the first that applies; only MOVED writes:
       NO_SALE                there is none
       as of a RETURN in move.lua, if a record is there: what was sent is ignored
       NO_RECORD, epoch, seq  the call that found no record is too long ago: ask the ledger again, with this last commit
       WATERMARK_BELOW_TRIM   the ledger has lost commits that it had reported
       as of a RETURN in move.lua, for the record that was sent
Keeps  What comes back is booked once: a record stored after that call is there, or has left since, and then a record of
       at least its position has.
Uses   clock shard record sale settings event move judge_move commit ]]

local shard, not_serving = open_shard()
if not_serving then return not_serving end

local request = {
  id = ARGV[8], kind = 'RETURN', note = ARGV[9], revision = tonumber(ARGV[10]), lines = lines_from_text(ARGV[11]),
  discards = ARGV[12] == '1',
}

-- Whether a record may have been stored after the call that found none, and have left since.
local function may_have_left()
  local epoch, seq = tonumber(ARGV[3]), tonumber(ARGV[4])
  local left = redis.call('HGET', KEYS[1], 'archived') or '0-0'
  local left_epoch, left_seq = string.match(left, '^(%d+)-(%d+)$')
  return epoch ~= shard.epoch or is_before(epoch, seq, tonumber(left_epoch), tonumber(left_seq))
end

local function judge(sale)
  load_settings(sale, {})
  if not sale.settings then return {'NO_SALE'} end
  load_records(sale, {request.id})
  local record = record_of(sale, request.id)
  if not record or is_unknown(record) then
    if may_have_left() then return {'NO_RECORD', shard.epoch, shard.seq} end
    if is_before(tonumber(ARGV[5]), tonumber(ARGV[6]), shard.epoch, shard.trim_seq) then return {'WATERMARK_BELOW_TRIM'} end
    record = record_from_bytes(ARGV[7])
    sale.records[request.id] = record
  end
  load_moved(sale, {request.id})
  return record_reply(shard, sale, judge_move(shard, sale, record, request), record)
end

local result = judge(open_sale(shard, 1))
commit(shard)
return reply_of(shard, result)
