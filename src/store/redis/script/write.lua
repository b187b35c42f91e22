-- ARGV: most runs, their age in milliseconds, most bytes of output; then writes, each a word and its values.
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

local place = 6
while place <= #ARGV do
  local word = ARGV[place]
  writes[word](unpack(ARGV, place + 1, place + sizes[word]))
  place = place + 1 + sizes[word]
end
trim(tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
return 1
