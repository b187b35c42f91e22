-- How runs are kept. Members of the indexes are `RUN ATTEMPT JOB`, the attempt of ten digits: their order is the runs' own.
local ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

-- Removes runs, oldest first. Those that go on stay, to be told as lost some day, unless they are far too many.
local function drop(members, all)
  for _, member in ipairs(members) do
    local run, attempt, job = string.match(member, '^(%S+) (%d+) (%S+)$')
    if not run then
      call('ZREM', 'runs', member)
    elseif all or call('HEXISTS', 'open', run .. ' ' .. attempt) == 0 then
      call('ZREM', 'runs', member)
      call('ZREM', 'runs:' .. job, member)
      call('HDEL', 'records', run .. ' ' .. attempt)
      call('HDEL', 'open', run .. ' ' .. attempt)
    end
  end
end

local function drop_outputs(members)
  for _, member in ipairs(members) do
    local run, size = string.match(member, '^(%S+) (%d+)$')
    call('ZREM', 'outputs', member)
    if run then
      call('DEL', 'output:' .. run)
      call('HINCRBY', 'state', 'output_bytes', '-' .. size)
    end
  end
end

-- Keeps what is kept of runs within its bounds: how many, for how long, in milliseconds, and how many bytes of output.
local function trim(most, age, bytes)
  local over = call('ZCARD', 'runs') - most
  if over > 0 then
    drop(call('ZRANGE', 'runs', 0, math.min(over, 1000) - 1))
    over = call('ZCARD', 'runs') - 2 * most
    if over > 0 then
      drop(call('ZRANGE', 'runs', 0, math.min(over, 1000) - 1), true)
    end
  end
  local oldest, time = '', math.max(now - age, 0)
  for _ = 1, 10 do
    local digit = time % 32
    oldest = string.sub(ALPHABET, digit + 1, digit + 1) .. oldest
    time = math.floor(time / 32)
  end
  drop(call('ZRANGEBYLEX', 'runs', '-', '(' .. oldest, 'LIMIT', 0, 500))
  drop_outputs(call('ZRANGEBYLEX', 'outputs', '-', '(' .. oldest, 'LIMIT', 0, 500))
  for _ = 1, 50 do
    if tonumber(call('HGET', 'state', 'output_bytes') or '0') <= bytes then
      break
    end
    local first = call('ZRANGE', 'outputs', 0, 0)
    if #first == 0 then
      call('HDEL', 'state', 'output_bytes')
      break
    end
    drop_outputs(first)
  end
end

-- Keeps a record of `RUN ATTEMPT`, unless it is one without an end of a run that has ended.
local function record(run, job, replica, is_open, json)
  if is_open then
    if call('HEXISTS', 'records', run) == 1 and call('HEXISTS', 'open', run) == 0 then
      return false
    end
    call('HSET', 'open', run, replica)
  else
    call('HDEL', 'open', run)
  end
  call('HSET', 'records', run, json)
  local member = run .. ' ' .. job
  call('ZADD', 'runs', 0, member)
  call('ZADD', 'runs:' .. job, 0, member)
  return true
end
