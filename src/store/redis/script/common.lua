-- KEYS[1]: the key of the version; all others have its prefix. ARGV[1]: what tells the server's lives apart; ARGV[2]: a
-- time that stands for the server's clock in tests, in milliseconds, or nothing. The rest is each script's own.
local SCHEMA = 2
-- The fencing number of a lease that nobody has handed out, with which nothing is compared.
local LOCAL = '18446744073709551615'
local prefix = string.sub(KEYS[1], 1, -8)

local function call(name, key, ...)
  return redis.call(name, prefix .. key, ...)
end

local function text(number)
  return string.format('%.0f', number)
end

-- An answer for a state that this program does not know; none if it may be used.
local function wrong()
  local found = redis.call('GET', KEYS[1])
  if not found then
    redis.call('SET', KEYS[1], SCHEMA)
    return nil
  end
  local version = tonumber(found)
  if version == SCHEMA then
    return nil
  elseif not version then
    return redis.error_reply('CRONKEEPGARBAGE its version is no number')
  end
  return redis.error_reply((version > SCHEMA and 'CRONKEEPNEWER ' or 'CRONKEEPOLDER ') .. text(version))
end

local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The values of many fields of a hash, by field.
local function get_all(key, fields)
  local found = {}
  for from = 1, #fields, 1000 do
    local to = math.min(from + 999, #fields)
    local values = call('HMGET', key, unpack(fields, from, to))
    for place = from, to do
      found[fields[place]] = values[place - from + 1]
    end
  end
  return found
end

-- Writes what has changed: `changed` are values by field, an empty one removes its field.
local function put_all(key, changed)
  local pairs_of, gone = {}, {}
  for field, value in pairs(changed) do
    if value == '' then
      gone[#gone + 1] = field
    else
      pairs_of[#pairs_of + 1] = field
      pairs_of[#pairs_of + 1] = value
    end
  end
  for from = 1, #pairs_of, 2000 do
    call('HSET', key, unpack(pairs_of, from, math.min(from + 1999, #pairs_of)))
  end
  for from = 1, #gone, 1000 do
    call('HDEL', key, unpack(gone, from, math.min(from + 999, #gone)))
  end
end

-- A server that begins anew has forgotten who lives, and perhaps more.
local function notice()
  if call('HGET', 'state', 'incarnation') ~= ARGV[1] then
    call('HSET', 'state', 'incarnation', ARGV[1], 'returned', text(now), 'sweep', '1')
    call('DEL', 'replicas')
    call('HDEL', 'state', 'forgot')
  end
end

-- Has a job of which nothing was known be forgotten some day, unless somebody says that he has it.
local function know(job)
  call('ZADD', 'touched', 'NX', text(now), job)
end

-- The job of a member of `paused`: it stands alone, or a signature follows.
local function paused_job(member)
  return string.match(member, '^%S+') or member
end

local function read_replicas()
  local known, all = {}, call('HGETALL', 'replicas')
  for place = 1, #all, 2 do
    local fencing, beat, expiry, hold, host, about =
      string.match(all[place + 1], '^(%d+) (%d+) (%d+) (%d+) (%S*) (.*)$')
    if fencing then
      known[all[place]] = {
        fencing = fencing, beat = tonumber(beat), expiry = tonumber(expiry), hold = tonumber(hold),
        host = host, about = about,
      }
    end
  end
  return known
end

local function lives(known, replica)
  local life = known[replica]
  return life and now < life.beat + life.expiry
end

local function holds(known, replica, fencing)
  return lives(known, replica) and known[replica].fencing == fencing
end

-- The recorded claim of a mark in a job's list: where its line begins and ends, its letter, and its owner.
local function claimed(list, mark)
  local at = string.find(list, ' ' .. mark .. ' ', 1, true)
  if not at then
    return nil
  end
  local stop = string.find(list, '\n', at, true)
  local fencing, replica = string.match(string.sub(list, at + #mark + 2, stop - 1), '^(%d+) (.*)$')
  return at - 1, stop, string.sub(list, at - 1, at - 1), fencing, replica
end

local function cut(list, first, last)
  return string.sub(list, 1, first - 1) .. string.sub(list, last + 1)
end

-- A list without the line of a run, if it has one.
local function without_run(list, run)
  local first = string.find(list, 's ' .. run .. ' ', 1, true)
  if not first then
    return list
  end
  return cut(list, first, string.find(list, '\n', first, true))
end
