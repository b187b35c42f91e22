-- ARGV: most runs, their age in milliseconds, most bytes of output, for how long jobs are remembered that nobody has, in
-- milliseconds; then writes, each a word and its values.
local before = {}

local function raise(key, job, mark)
  local kept = call('HGET', key, job)
  if not kept or kept < mark then
    call('HSET', key, job, mark)
  end
end

local function put_list(job, list)
  if list == '' then
    call('HDEL', 'fires', job)
  else
    call('HSET', 'fires', job, list)
  end
end

local writes = {
  since = function(job, time)
    call('HSET', 'since', job, time)
    call('ZADD', 'touched', text(now), job)
  end,
  mark = function(job, mark)
    if before[job] == nil then
      before[job] = call('HGET', 'claims', job)
    end
    raise('watermarks', job, mark)
    raise('claims', job, mark)
    local list = call('HGET', 'fires', job)
    local first, last = claimed(list or '', mark)
    if first then
      put_list(job, cut(list, first, last))
    end
  end,
  owe = function(job, due, trigger)
    -- Whether somebody has claimed it before: what this batch passes was not.
    local last = before[job]
    if last == nil then
      last = call('HGET', 'claims', job)
    end
    local is_free = not last or string.sub(last, 12) < due
    call('HSET', 'owed', job .. ' ' .. due, trigger .. (is_free and ' free' or ''))
  end,
  settle = function(job, due)
    call('HDEL', 'owed', job .. ' ' .. due)
  end,
  pause = function(job)
    call('SADD', 'paused', job)
  end,
  resume = function(job)
    call('SREM', 'paused', job)
  end,
  open = function(job, run, replica, json)
    if record(run, job, replica, true, json) then
      local list = without_run(call('HGET', 'fires', job) or '', run)
      put_list(job, list .. 's ' .. run .. ' ' .. replica .. '\n')
    end
  end,
  run = function(job, run, replica, json)
    record(run, job, replica, false, json)
    local list = call('HGET', 'fires', job)
    if list then
      put_list(job, without_run(list, run))
    end
  end,
  output = function(run, bytes)
    local old = call('ZRANGEBYLEX', 'outputs', '[' .. run, '(' .. run .. '~')
    drop_outputs(old)
    call('SET', 'output:' .. run, bytes, 'PX', ARGV[4])
    call('ZADD', 'outputs', 0, run .. ' ' .. #bytes)
    call('HINCRBY', 'state', 'output_bytes', #bytes)
  end,
}
local sizes = { since = 2, mark = 2, owe = 3, settle = 2, pause = 1, resume = 1, open = 4, run = 4, output = 2 }

-- Forgets jobs that nobody has had for long, a few each time, then what is owed of any that nothing else is known of.
local function forget(age)
  local old = call('ZRANGEBYSCORE', 'touched', '-inf', '(' .. text(now - age), 'LIMIT', 0, 20)
  if #old > 0 then
    for _, key in ipairs({ 'since', 'watermarks', 'claims' }) do
      call('HDEL', key, unpack(old))
    end
    call('ZREM', 'touched', unpack(old))
    call('HSET', 'state', 'owed_at', '0')
  end
  local at = call('HGET', 'state', 'owed_at')
  if not at then
    return
  end
  local found = call('HSCAN', 'owed', at, 'COUNT', 50)
  for field = 1, #found[2], 2 do
    local job = string.match(found[2][field], '^(%S+) ')
    if not job or call('HEXISTS', 'since', job) + call('HEXISTS', 'watermarks', job) + call('HEXISTS', 'claims', job) == 0 then
      call('HDEL', 'owed', found[2][field])
    end
  end
  if found[1] == '0' then
    call('HDEL', 'state', 'owed_at')
  else
    call('HSET', 'state', 'owed_at', found[1])
  end
end

local place = 7
while place <= #ARGV do
  local word = ARGV[place]
  writes[word](unpack(ARGV, place + 1, place + sizes[word]))
  place = place + 1 + sizes[word]
end
trim(tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
forget(tonumber(ARGV[6]))
return 1
