-- Takes one chat message: idempotency, rates, slow mode, number, history; all or nothing.
-- KEYS: history (list of JSON), ids (sorted set: id by seq), rate (list of ms), client id, rate of the address (list of
--       ms), last message of the user here (ms)
-- ARGV: 1 now_ms, 2 id, 3 message as a JSON object without its end, 4 digest of the text, 5 timestamp,
--       6 candidate epoch, 7 rate count (0: exempt), 8 rate window ms, 9 has a client id (0, 1),
--       10 history length, 11 history s, 12 ids kept, 13 address count (0: exempt), 14 slow mode ms (0: off),
--       15 room, 16 origin, 17 what the room is told
-- Answers {"sent", seq, epoch} | {"again", id, seq, timestamp} | {"differs"} | {"limited" or "slow", retry_after_ms}
local now = tonumber(ARGV[1])
if ARGV[9] == '1' then
    local known = redis.call('HMGET', KEYS[4], 'digest', 'id', 'seq', 'timestamp')
    if known[1] then
        if known[1] ~= ARGV[4] then return {'differs'} end
        return {'again', known[2], tonumber(known[3]), known[4]}
    end
end
-- Every limit is looked at before any is counted, so that what was refused has cost nothing.
local window, slow = tonumber(ARGV[8]), tonumber(ARGV[14])
local windows = {{KEYS[3], tonumber(ARGV[7])}, {KEYS[5], tonumber(ARGV[13])}}
local wait = 0
for _, one in ipairs(windows) do
    local oldest = one[2] > 0 and redis.call('LINDEX', one[1], one[2] - 1)
    if oldest then wait = math.max(wait, tonumber(oldest) + window - now) end
end
if wait > 0 then return {'limited', wait} end
if slow > 0 then
    local last = redis.call('GET', KEYS[6])
    if last and tonumber(last) + slow > now then return {'slow', tonumber(last) + slow - now} end
end
for _, one in ipairs(windows) do
    if one[2] > 0 then
        redis.call('LPUSH', one[1], now)
        redis.call('LTRIM', one[1], 0, one[2] - 1)
        redis.call('PEXPIRE', one[1], math.ceil(window) + 1000)
    end
end
if slow > 0 then redis.call('SET', KEYS[6], now, 'PX', slow + 1000) end
local _, seq, epoch = say('/chat', ARGV[15], ARGV[16], false, ARGV[17], ARGV[6])
trim('/chat')
redis.call('RPUSH', KEYS[1], ARGV[3] .. ',"seq":' .. seq .. ',"epoch":"' .. epoch .. '"}')
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[10]), -1)
redis.call('EXPIRE', KEYS[1], ARGV[11])
redis.call('ZADD', KEYS[2], seq, ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -tonumber(ARGV[12]) - 1)
redis.call('EXPIRE', KEYS[2], ARGV[11])
if ARGV[9] == '1' then
    redis.call('HSET', KEYS[4], 'digest', ARGV[4], 'id', ARGV[2], 'seq', seq, 'timestamp', ARGV[5])
    redis.call('EXPIRE', KEYS[4], ARGV[11])
end
return {'sent', seq, epoch}
