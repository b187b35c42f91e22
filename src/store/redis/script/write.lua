-- ARGV: most runs, their age in milliseconds, most bytes of output, for how long jobs are remembered that nobody has, in
-- milliseconds, most of those that nobody has had lately; then writes, each a word and its values.
local before = {}

local function raise(key, job, mark)
  local kept = call('HGET', key, job)
  if not kept then
    know(job)
  end
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

local function end_pauses(jobs)
  local ended = {}
  for _, job in ipairs(jobs) do
    ended[job] = true
  end
  for _, member in ipairs(call('SMEMBERS', 'paused')) do
    if ended[paused_job(member)] then
      call('SREM', 'paused', member)
    end
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
    know(job)
  end,
  settle = function(job, due)
    call('HDEL', 'owed', job .. ' ' .. due)
  end,
  pause = function(job, signature)
    end_pauses({ job })
    call('SADD', 'paused', signature == '' and job or job .. ' ' .. signature)
    know(job)
  end,
  resume = function(job)
    end_pauses({ job })
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
local sizes = { since = 2, mark = 2, owe = 3, settle = 2, pause = 2, resume = 1, open = 4, run = 4, output = 2 }

local HOUR, DAYS = 3600000, 2 * 86400000

-- Whether nobody was there for long who could have said which jobs he has. Then those that come back have the time to say it.
local function was_left(age)
  local kept = call('HMGET', 'state', 'seen', 'attended')
  local seen, attended = tonumber(kept[1] or '0'), tonumber(kept[2] or '0')
  if now - seen > DAYS or now < attended then
    if not kept[1] then
      -- Earlier programs have kept pauses of jobs of which nothing else is known.
      call('HSET', 'state', 'paused_at', '0')
    end
    attended = now
    call('HSET', 'state', 'attended', text(now))
  end
  if now - seen > HOUR or now < seen then
    call('HSET', 'state', 'seen', text(now))
  end
  return now < attended + math.min(DAYS, age)
end

-- Looks at some more of a hash or set, as long as the walk that has its place in `state` goes on.
local function walk(at, scan, key, step, look)
  local from = call('HGET', 'state', at)
  if not from then
    return
  end
  local found = call(scan, key, from, 'COUNT', 50)
  for place = 1, #found[2], step do
    look(found[2][place])
  end
  if found[1] == '0' then
    call('HDEL', 'state', at)
  else
    call('HSET', 'state', at, found[1])
  end
end

-- Forgets jobs that nobody has had for long, or of too many the ones that nobody has had for the longest; a few each time, or as
-- many as were written. Then what is owed of any that nothing else is known of.
local function forget(age, most, written)
  if not was_left(age) then
    local before = now - age
    if call('ZCARD', 'touched') > most then
      -- Who has one says so once a day, and may have been away for almost as long as what counts as having left it.
      before = math.max(before, now - 2 * DAYS)
    end
    local count = math.min(math.max(written, 20), 1000)
    local old = call('ZRANGEBYSCORE', 'touched', '-inf', '(' .. text(before), 'LIMIT', 0, count)
    if #old > 0 then
      for _, key in ipairs({ 'since', 'watermarks', 'claims' }) do
        call('HDEL', key, unpack(old))
      end
      end_pauses(old)
      call('ZREM', 'touched', unpack(old))
      call('HSET', 'state', 'owed_at', '0', 'paused_at', '0')
    end
  end
  walk('owed_at', 'HSCAN', 'owed', 2, function(field)
    local job = string.match(field, '^(%S+) ')
    if not job or call('HEXISTS', 'since', job) + call('HEXISTS', 'watermarks', job) + call('HEXISTS', 'claims', job) == 0 then
      call('HDEL', 'owed', field)
    end
  end)
  walk('paused_at', 'SSCAN', 'paused', 1, function(member)
    know(paused_job(member))
  end)
end

local place, written = 8, 0
while place <= #ARGV do
  local word = ARGV[place]
  writes[word](unpack(ARGV, place + 1, place + sizes[word]))
  place = place + 1 + sizes[word]
  written = written + 1
end
trim(tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
forget(tonumber(ARGV[6]), tonumber(ARGV[7]), written)
return 1
