-- Gives events their place and tells them to every process. In front of each script that says something in a room.
-- A namespace has: rooms:{ns} (hash: run, epoch, number, bytes, trimmed; `seq <room>` for each room), and
-- rooms:{ns}:log (stream of r room, n number, s seq, o origin, p payload), bounded by count, bytes and age.
local MAX_EVENTS, MAX_BYTES, MAX_AGE_MS, OVERHEAD = 10000, 16 * 1024 * 1024, 120000, 200
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')

-- A server that was started again may have forgotten the last second: numbers begin anew, in another epoch.
local function epoch_of(namespace, candidate)
    local meta = 'rooms:{' .. namespace .. '}'
    local known = redis.call('HMGET', meta, 'run', 'epoch')
    if known[1] == run then return known[2] end
    redis.call('DEL', meta, meta .. ':log')
    redis.call('HSET', meta, 'run', run, 'epoch', candidate, 'number', 0, 'bytes', 0, 'trimmed', 0)
    return candidate
end

local function seq_of(namespace, room)
    return tonumber(redis.call('HGET', 'rooms:{' .. namespace .. '}', 'seq ' .. room) or 0)
end

local function trim(namespace)
    local meta, log = 'rooms:{' .. namespace .. '}', 'rooms:{' .. namespace .. '}:log'
    local bytes, count = tonumber(redis.call('HGET', meta, 'bytes')), redis.call('XLEN', log)
    local oldest_ms = redis.call('TIME')[1] * 1000 - MAX_AGE_MS
    -- Nearly always one look at one entry is all.
    local look, is_over, trimmed = 1, true, nil
    while is_over do
        is_over = false
        for _, entry in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', look)) do
            local at = tonumber(string.match(entry[1], '%d+'))
            is_over = count > MAX_EVENTS or bytes > MAX_BYTES or at < oldest_ms
            if not is_over then break end
            redis.call('XDEL', log, entry[1])
            count, bytes, trimmed = count - 1, bytes - #entry[2][10] - OVERHEAD, entry[2][4]
        end
        look = 16
    end
    if trimmed then redis.call('HSET', meta, 'bytes', bytes, 'trimmed', trimmed) end
end

-- Answers number, seq, epoch; 0, 0 and '' for what is volatile. `payload` is opaque here.
local function say(namespace, room, origin, volatile, payload, candidate)
    local channel = 'rooms:' .. namespace .. ':' .. room
    if string.sub(room, 1, 1) == '@' or room == '*' then channel = 'rooms:' .. namespace end
    if volatile then
        redis.call('PUBLISH', channel, cmsgpack.pack({room, 0, 0, '', origin, 0, payload}))
        return 0, 0, ''
    end
    local meta = 'rooms:{' .. namespace .. '}'
    local epoch = epoch_of(namespace, candidate)
    local number = redis.call('HINCRBY', meta, 'number', 1)
    local seq = number
    if string.sub(room, 1, 1) ~= '@' and room ~= '*' then seq = redis.call('HINCRBY', meta, 'seq ' .. room, 1) end
    local id = redis.call('XADD', meta .. ':log', '*', 'r', room, 'n', number, 's', seq, 'o', origin, 'p', payload)
    redis.call('HINCRBY', meta, 'bytes', #payload + OVERHEAD)
    local at = tonumber(string.match(id, '%d+'))
    redis.call('PUBLISH', channel, cmsgpack.pack({room, number, seq, epoch, origin, at, payload}))
    return number, seq, epoch
end
