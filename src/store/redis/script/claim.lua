-- ARGV: replica, fencing; of each claim job, mark, its instant in milliseconds, grace in milliseconds, instances or nothing,
-- the signature that its pause must have or nothing.
notice()
local me, fencing = ARGV[3], ARGV[4]
local count = (#ARGV - 4) / 6
local answers = {}

local function all(answer)
  for place = 1, count do
    answers[place] = answer
  end
  return answers
end

if fencing == LOCAL then
  return all('granted')
end
local known = read_replicas()
if not holds(known, me, fencing) then
  return all('fenced')
end
local wait = known[me].hold - now
if wait > 0 then
  return all('wait ' .. text(wait))
end

local jobs, seen = {}, {}
for place = 5, #ARGV, 6 do
  if not seen[ARGV[place]] then
    seen[ARGV[place]] = true
    jobs[#jobs + 1] = ARGV[place]
  end
end
local marks, fires = get_all('claims', jobs), get_all('fires', jobs)
local owes = redis.call('EXISTS', prefix .. 'owed') == 1
local new_marks, new_fires, new_owed, paused = {}, {}, {}, {}
for _, member in ipairs(call('SMEMBERS', 'paused')) do
  paused[member] = true
  paused[paused_job(member)] = true
end

-- What is owed of a fire, where that may be claimed though the job is past it.
local function owed(job, mark)
  if not owes then
    return nil
  end
  local field = job .. string.sub(mark, 11)
  local value = new_owed[field] or call('HGET', 'owed', field)
  return value and field, value
end

local words = { c = 'granted', f = 'full', p = 'paused', l = 'late' }

-- Whether another run of the job may be: a letter, or who decides about it.
local function room(list, limit)
  if limit == '' then
    return 'c'
  end
  local going = 0
  for line in string.gmatch(list, '[^\n]+') do
    local letter, owner = string.sub(line, 1, 1), nil
    if letter == 's' then
      owner = string.match(line, '^s %S+ %S+ (.*)$')
      owner = lives(known, owner) and owner
    elseif letter == 'c' then
      local number, replica = string.match(line, '^c %S+ %S+ %S+ (%d+) (.*)$')
      owner = holds(known, replica, number) and replica
    end
    if owner then
      if limit == '1' then
        return owner == me and 'c', owner
      end
      going = going + 1
    end
  end
  return limit ~= '1' and going >= tonumber(limit) and 'f' or 'c'
end

local function decide(job, mark, at, grace, limit, signature)
  local list, letter = fires[job] or '', nil
  local first, last, was, number, replica = claimed(list, mark)
  if first then
    if number == fencing and replica == me then
      return words[was]
    elseif holds(known, replica, number) then
      return 'belongs ' .. replica
    elseif now - at > grace then
      letter = 'l'
    end
  elseif marks[job] and marks[job] >= mark then
    local _, value = owed(job, mark)
    if not value or not string.find(value, ' free', 1, true) then
      return 'taken'
    end
  end
  if not letter then
    local owner
    if paused[signature == '' and job or job .. ' ' .. signature] then
      letter = 'p'
    else
      letter, owner = room(list, limit)
      if not letter then
        return 'belongs ' .. owner
      end
    end
  end
  if first then
    list = cut(list, first, last)
  end
  fires[job] = list .. letter .. ' ' .. mark .. ' ' .. fencing .. ' ' .. me .. '\n'
  new_fires[job] = fires[job]
  if not marks[job] then
    know(job)
  end
  if not marks[job] or marks[job] < mark then
    marks[job], new_marks[job] = mark, mark
  end
  local field, value = owed(job, mark)
  if field then
    new_owed[field] = string.gsub(value, ' free', '')
  end
  return words[letter]
end

for place = 1, count do
  local from = place * 6 - 1
  answers[place] = decide(
    ARGV[from], ARGV[from + 1], tonumber(ARGV[from + 2]), tonumber(ARGV[from + 3]), ARGV[from + 4], ARGV[from + 5])
end
put_all('claims', new_marks)
put_all('fires', new_fires)
put_all('owed', new_owed)
return answers
