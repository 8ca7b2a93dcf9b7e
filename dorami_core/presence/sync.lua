-- Takes what one process has to say of its viewers, drops leases that ran out, and answers all counts; all or nothing.
-- KEYS: 1 counts (hash: people by stream). Beside it, under the same `{presence}` tag:
--   S:leases (sorted set: process by the end of its lease in ms), S:of:P (set: viewers that process P holds),
--   S:push (hash: number said last, when in ms, whether somebody waits for it)
-- ARGV: 1 process, 2 lease ms, 3 ms between two pushes, 4 greatest count at which people are named; then for each
--       stream: key, replace (0, 1), needs number (0, 1), held, how many members, joined, left, and all of these
-- Answers {ms until a push that was held back (-1: none), {{stream, count, push now}...},
--          {{stream, lost, {present...}, {absent...}}...}}
local process, lease, interval, names = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local CHUNK = 1000  -- of arguments; Lua's stack ends before 8,000

local function key(stream, part) return '{presence}:' .. stream .. ':' .. part end

local function change(command, set, first, count)
    for start = first, first + count - 1, CHUNK do
        redis.call(command, set, unpack(ARGV, start, math.min(start + CHUNK, first + count) - 1))
    end
end

local function expire(stream)
    local ended = redis.call('ZRANGEBYSCORE', key(stream, 'leases'), '-inf', now)
    for _, gone in ipairs(ended) do
        redis.call('ZREM', key(stream, 'leases'), gone)
        redis.call('DEL', key(stream, 'of:' .. gone))
    end
    return #ended > 0
end

local function holders(stream)
    local sets = {}
    for _, holder in ipairs(redis.call('ZRANGE', key(stream, 'leases'), 0, -1)) do
        table.insert(sets, key(stream, 'of:' .. holder))
    end
    return sets
end

local function recount(stream)
    local sets, count = holders(stream), 0
    if #sets == 1 then
        count = redis.call('SCARD', sets[1])
    elseif #sets > 1 then
        count = redis.call('SUNIONSTORE', key(stream, 'union'), unpack(sets))
        redis.call('DEL', key(stream, 'union'))
    end
    redis.call('HSET', KEYS[1], stream, count)
    return count
end

-- Those of ARGV[first .. first + count - 1] whom no other process holds.
local function alone(others, first, count)
    local found = {}
    for i = first, first + count - 1 do
        local elsewhere = false
        for _, set in ipairs(others) do
            if redis.call('SISMEMBER', set, ARGV[i]) == 1 then elsewhere = true break end
        end
        if not elsewhere then table.insert(found, ARGV[i]) end
    end
    return found
end

local changed, outcomes, at = {}, {}, 5
while at <= #ARGV do
    local stream, replace, needs, held = ARGV[at], ARGV[at + 1] == '1', ARGV[at + 2] == '1', tonumber(ARGV[at + 3])
    local members, joined, left = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
    local first = at + 7
    at = first + members + joined + left
    local leases, mine = key(stream, 'leases'), key(stream, 'of:' .. process)
    local ended = expire(stream)
    changed[stream] = needs and 'needs' or 'yes'
    if not replace and redis.call('SCARD', mine) ~= held then
        table.insert(outcomes, {stream, 1, {}, {}})
    else
        local others = {}
        for _, set in ipairs(holders(stream)) do
            if set ~= mine then table.insert(others, set) end
        end
        if replace then
            redis.call('DEL', mine)
            change('SADD', mine, first, members)
        else
            change('SADD', mine, first + members, joined)
            change('SREM', mine, first + members + joined, left)
        end
        if redis.call('SCARD', mine) > 0 then
            redis.call('ZADD', leases, now + lease, process)
            redis.call('PEXPIRE', mine, lease)
            redis.call('PEXPIRE', leases, math.max(lease, redis.call('PTTL', leases)))
        else
            redis.call('ZREM', leases, process)
        end
        local present = alone(others, first + members, joined)
        local absent = alone(others, first + members + joined, left)
        local count = tonumber(redis.call('HGET', KEYS[1], stream) or '0')
        if replace or ended or joined + left == 0 then
            count = recount(stream)
        elseif #present ~= #absent then
            count = redis.call('HINCRBY', KEYS[1], stream, #present - #absent)
        end
        if count > names then present, absent = {}, {} end
        table.insert(outcomes, {stream, 0, present, absent})
    end
end

local numbers, due = {}, -1
local counts = redis.call('HGETALL', KEYS[1])
for i = 1, #counts, 2 do
    local stream, count = counts[i], tonumber(counts[i + 1])
    if not changed[stream] and (expire(stream) or redis.call('EXISTS', key(stream, 'leases')) == 0) and count > 0 then
        count = recount(stream)
    end
    local push, said = key(stream, 'push'), 0
    local last = redis.call('HMGET', push, 'number', 'at', 'needed')
    local number, since = tonumber(last[1] or '0'), now - tonumber(last[2] or '0')
    local needed = last[3] or changed[stream] == 'needs'
    if count ~= number or needed then
        if since >= interval or since < 0 then
            said, number = 1, count
            redis.call('DEL', push)
            redis.call('HSET', push, 'number', count, 'at', now)
            redis.call('PEXPIRE', push, 86400000)
        else
            if needed then redis.call('HSET', push, 'needed', 1) end
            if changed[stream] and (due < 0 or interval - since < due) then due = interval - since end
        end
    end
    table.insert(numbers, {stream, count, said})
    if count == 0 and number == 0 and not (needed and said == 0) then
        redis.call('HDEL', KEYS[1], stream)
        redis.call('PEXPIRE', push, interval)
    end
end
return {due, numbers, outcomes}
