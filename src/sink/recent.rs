//! What the last runs printed, in memory: the beginning and the end of each, and what is printed from now on.
//!
//! Runs that print nothing cost nothing. All is bounded: lines per run, runs, bytes in all, bytes that wait for
//! whoever follows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::event::{Ended, Event, Line, Run, RunId, Started, Stream};
use crate::job::JobKey;

/// How much is kept of a run's first lines, in bytes.
const HEAD: usize = 16 << 10;

/// How much is kept of a run's last lines, in bytes.
const TAIL: usize = 48 << 10;

/// How much is kept in all, in bytes.
const ALL: usize = 1 << 20;

/// How many runs are kept.
const RUNS: usize = 256;

/// How many bytes may wait for one who follows.
const WAITING: usize = 256 << 10;

/// What a line costs beside its bytes.
const LINE_COST: usize = 64;

/// What a run costs beside its lines.
const RUN_COST: usize = 512;

/// A line that was printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// Where.
    pub stream: Stream,
    /// Whether the run had already ended.
    pub detached: bool,
    /// The line without its end, not escaped.
    pub bytes: Arc<[u8]>,
    /// Lines that are missing, and in whose place it stands; 0: it was printed.
    pub left_out: u64,
}

/// What is known of a run's output.
#[derive(Debug, Clone)]
pub struct Output {
    /// The run.
    pub run: Arc<Run>,
    /// Its first lines.
    pub head: Vec<Printed>,
    /// Lines between [`head`](Output::head) and [`tail`](Output::tail) that were not kept.
    pub left_out: u64,
    /// Its last lines, as far as they are not among the first.
    pub tail: Vec<Printed>,
    /// How much it printed, in bytes, line feeds left out.
    pub bytes: u64,
    /// How it ended; none while it lives.
    pub ended: Option<Ended>,
}

/// Which runs somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Every one.
    All,
    /// Those of a job.
    Job(JobKey),
    /// One.
    Run(RunId),
}

impl Of {
    fn has(self, run: &Run) -> bool {
        match self {
            Of::All => true,
            Of::Job(key) => run.fire.job.key == key,
            Of::Run(id) => run.id == id,
        }
    }
}

/// What one who follows is told.
#[derive(Debug, Clone)]
pub enum News {
    /// A run started.
    Started(Started),
    /// A run printed a line.
    Printed(Arc<Run>, Printed),
    /// A run ended.
    Ended(Ended),
    /// So many of the above were not told, since they were not fetched in time.
    LeftOut(u64),
}

/// Keeps what the last runs printed. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<Shelf>>);

impl Recent {
    /// Keeps what `events` tell, until the bus is gone.
    pub async fn keep(self, mut events: UnboundedReceiver<Arc<Event>>) {
        while let Some(event) = events.recv().await {
            self.take(&event);
        }
    }

    /// Keeps one event, if it is about a run.
    pub fn take(&self, event: &Event) {
        match event {
            Event::RunStarted(started) => {
                self.shelf().tell(&started.run, &|| News::Started(started.clone()), 0);
            }
            Event::RunOutput(line) => self.shelf().print(line),
            Event::RunEnded(ended) => self.shelf().end(ended),
            _ => {}
        }
    }

    /// The runs that printed something, by their start.
    #[must_use]
    pub fn look(&self, of: Of) -> Vec<Output> {
        self.shelf().look(of)
    }

    /// Whether anything that the run printed is held.
    #[must_use]
    pub fn holds(&self, run: RunId) -> bool {
        self.shelf().books.iter().any(|book| book.run.id == run)
    }

    /// What was printed up to now, and what will be; nothing lies between, and nothing is in both.
    #[must_use]
    pub fn follow(&self, of: Of) -> (Vec<Output>, Follower) {
        let mut kept = self.shelf();
        let (telling, news) = mpsc::unbounded_channel();
        let queue = Arc::new(Queue::default());
        kept.following.push(Following { of, telling, queue: Arc::clone(&queue) });
        (kept.look(of), Follower { news, queue })
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Nothing is left half done by a panic: there is none.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receives what is printed from now on.
#[derive(Debug)]
pub struct Follower {
    news: UnboundedReceiver<(News, usize)>,
    queue: Arc<Queue>,
}

impl Follower {
    /// The next news; none once the bus is gone. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<News> {
        if self.news.is_empty() {
            let count = self.queue.left_out.swap(0, Ordering::Relaxed);
            if count > 0 {
                return Some(News::LeftOut(count));
            }
        }
        let (news, cost) = self.news.recv().await?;
        self.queue.bytes.fetch_sub(cost, Ordering::Relaxed);
        Some(news)
    }
}

/// How much waits for one who follows.
#[derive(Debug, Default)]
struct Queue {
    bytes: AtomicUsize,
    left_out: AtomicU64,
}

#[derive(Debug)]
struct Following {
    of: Of,
    telling: UnboundedSender<(News, usize)>,
    queue: Arc<Queue>,
}

impl Following {
    /// Whether anybody is still there.
    fn tell(&self, news: News, bytes: usize) -> bool {
        let cost = bytes + 2 * LINE_COST;
        if self.queue.bytes.load(Ordering::Relaxed) + cost > WAITING {
            self.queue.left_out.fetch_add(1, Ordering::Relaxed);
            return !self.telling.is_closed();
        }
        let left_out = self.queue.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 && self.telling.send((News::LeftOut(left_out), 0)).is_err() {
            return false;
        }
        self.queue.bytes.fetch_add(cost, Ordering::Relaxed);
        self.telling.send((news, cost)).is_ok()
    }
}

/// What is kept of one run.
#[derive(Debug)]
struct Book {
    run: Arc<Run>,
    head: Vec<Printed>,
    tail: VecDeque<Printed>,
    /// Bytes of each, with what a line costs.
    costs: [usize; 2],
    left_out: u64,
    /// Bytes printed.
    bytes: u64,
    ended: Option<Ended>,
}

impl Book {
    fn cost(&self) -> usize {
        RUN_COST + self.costs[0] + self.costs[1]
    }

    /// Adds a line, which is or stands for so many bytes that were printed.
    fn add(&mut self, printed: Printed, bytes: u64) {
        let cost = cost(&printed);
        self.bytes += bytes;
        if self.tail.is_empty() && self.left_out == 0 && self.costs[0] + cost <= HEAD {
            self.costs[0] += cost;
            return self.head.push(printed);
        }
        self.costs[1] += cost;
        self.tail.push_back(printed);
        while self.costs[1] > TAIL
            && let Some(oldest) = self.tail.pop_front()
        {
            self.costs[1] -= self::cost(&oldest);
            // What it told of goes with it.
            self.left_out += oldest.left_out.max(1);
        }
    }
}

fn cost(printed: &Printed) -> usize {
    printed.bytes.len() + LINE_COST
}

#[derive(Debug, Default)]
struct Shelf {
    /// By their first line.
    books: VecDeque<Book>,
    bytes: usize,
    following: Vec<Following>,
}

impl Shelf {
    fn print(&mut self, line: &Line) {
        let printed = Printed {
            stream: line.stream,
            detached: line.detached,
            bytes: line.bytes[..].into(),
            left_out: line.left_out.0,
        };
        let length = printed.bytes.len();
        self.tell(&line.run, &|| News::Printed(Arc::clone(&line.run), printed.clone()), length);
        let found = self.books.iter().rposition(|book| book.run.id == line.run.id);
        let place = found.unwrap_or_else(|| {
            self.books.push_back(Book {
                run: Arc::clone(&line.run),
                head: Vec::new(),
                tail: VecDeque::new(),
                costs: [0; 2],
                left_out: 0,
                bytes: 0,
                ended: None,
            });
            self.bytes += RUN_COST;
            self.books.len() - 1
        });
        let book = &mut self.books[place];
        let before = book.cost();
        let (lines, missing) = line.left_out;
        let is_printed = line.left_out == (0, 0);
        book.add(printed, if is_printed { length as u64 } else { missing.saturating_sub(lines) });
        self.bytes = self.bytes + book.cost() - before;
        while self.books.len() > RUNS || self.bytes > ALL {
            self.drop_one();
        }
    }

    /// Makes room: the oldest run that has ended goes first.
    fn drop_one(&mut self) {
        let place = self.books.iter().position(|book| book.ended.is_some()).unwrap_or(0);
        if let Some(book) = self.books.remove(place) {
            self.bytes -= book.cost();
        }
    }

    fn end(&mut self, ended: &Ended) {
        self.tell(&ended.run, &|| News::Ended(ended.clone()), 0);
        if let Some(book) = self.books.iter_mut().rfind(|book| book.run.id == ended.run.id) {
            book.ended = Some(ended.clone());
        }
    }

    /// Tells those who follow the run; who has gone is forgotten.
    fn tell(&mut self, run: &Run, news: &dyn Fn() -> News, bytes: usize) {
        self.following.retain(|following| {
            if following.of.has(run) {
                following.tell(news(), bytes)
            } else {
                !following.telling.is_closed()
            }
        });
    }

    fn look(&self, of: Of) -> Vec<Output> {
        let wanted = self.books.iter().filter(|book| of.has(&book.run));
        let mut found: Vec<_> = wanted
            .map(|book| Output {
                run: Arc::clone(&book.run),
                head: book.head.clone(),
                left_out: book.left_out,
                tail: book.tail.iter().cloned().collect(),
                bytes: book.bytes,
                ended: book.ended.clone(),
            })
            .collect();
        found.sort_unstable_by_key(|output| output.run.id);
        found
    }
}

#[cfg(test)]
mod tests;
