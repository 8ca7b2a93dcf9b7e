-- Takes one chat message: idempotency, rate, number, history; all or nothing.
-- KEYS: room (hash: epoch, seq), history (list of JSON), ids (sorted set: id by seq), rate (list of ms), client id
-- ARGV: 1 now_ms, 2 id, 3 message as a JSON object without its end, 4 digest of the text, 5 timestamp,
--       6 candidate epoch, 7 rate count (0: exempt), 8 rate window ms, 9 has a client id (0, 1),
--       10 history length, 11 history s, 12 ids kept
-- Answers {"sent", seq, epoch} | {"again", id, seq, timestamp} | {"differs"} | {"limited", retry_after_ms}
local now = tonumber(ARGV[1])
if ARGV[9] == '1' then
    local known = redis.call('HMGET', KEYS[5], 'digest', 'id', 'seq', 'timestamp')
    if known[1] then
        if known[1] ~= ARGV[4] then return {'differs'} end
        return {'again', known[2], tonumber(known[3]), known[4]}
    end
end
local count, window = tonumber(ARGV[7]), tonumber(ARGV[8])
if count > 0 then
    local oldest = redis.call('LINDEX', KEYS[4], count - 1)
    if oldest and tonumber(oldest) + window > now then
        return {'limited', tonumber(oldest) + window - now}
    end
    redis.call('LPUSH', KEYS[4], now)
    redis.call('LTRIM', KEYS[4], 0, count - 1)
    redis.call('PEXPIRE', KEYS[4], math.ceil(window) + 1000)
end
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[6])
local epoch = redis.call('HGET', KEYS[1], 'epoch')
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('EXPIRE', KEYS[1], 2 * tonumber(ARGV[11]))
redis.call('RPUSH', KEYS[2], ARGV[3] .. ',"seq":' .. seq .. ',"epoch":"' .. epoch .. '"}')
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[10]), -1)
redis.call('EXPIRE', KEYS[2], ARGV[11])
redis.call('ZADD', KEYS[3], seq, ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -tonumber(ARGV[12]) - 1)
redis.call('EXPIRE', KEYS[3], ARGV[11])
if ARGV[9] == '1' then
    redis.call('HSET', KEYS[5], 'digest', ARGV[4], 'id', ARGV[2], 'seq', seq, 'timestamp', ARGV[5])
    redis.call('EXPIRE', KEYS[5], ARGV[11])
end
return {'sent', seq, epoch}
