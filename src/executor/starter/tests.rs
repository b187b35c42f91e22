use super::*;
use crate::clock::SystemClock;
use crate::unix::Account;

#[test]
fn a_shell_that_cannot_be_one_is_told_what_belongs_there() {
    let missing = |shell, said: &str| {
        let expected = format!("{said}: No such file or directory");
        assert_eq!(words(shell, Errno::ENOENT), expected);
    };
    missing(c"", "SHELL is empty");
    missing(c"/bin/bash -x", "/bin/bash -x (SHELL is a path alone, without options)");
    missing(c"bash", "bash (SHELL needs its full path)");
    missing(c"/no/such", "/no/such");
    assert_eq!(words(c"/etc", Errno::EACCES), "/etc: Permission denied");
}

#[test]
fn who_waits_for_few_starts_goes_on_as_soon_as_few_are_left() {
    let (reports, _told) = mpsc::unbounded_channel();
    let host = Host::new(Account::current(), []);
    let starter = Starter::new(host, Arc::new(SystemClock), reports).unwrap();
    let forever = Duration::from_secs(24 * 60 * 60);
    starter.wait_for_few(forever);
    for _ in 0..10 * FEW {
        // Given up: it goes through everything, and nothing is executed.
        let ticket = Ticket::of_nothing();
        assert_eq!(ticket.pid_or_cancel(), None);
        starter.submit(Arc::new(ticket)).unwrap();
    }
    starter.wait_for_few(forever);
    assert!(starter.0.state().queue.len() <= FEW);
}

#[test]
fn who_waits_for_few_starts_waits_no_longer_than_he_wants() {
    let (reports, _told) = mpsc::unbounded_channel();
    let host = Host::new(Account::current(), []);
    let starter = Starter::new(host, Arc::new(SystemClock), reports).unwrap();
    let tickets = (0..=FEW).map(|_| Arc::new(Ticket::of_nothing()));
    starter.0.state().queue.extend(tickets);
    assert!(starter.has_many());
    starter.wait_for_few(Duration::from_millis(1));
    assert!(starter.0.state().queue.len() > FEW, "nobody was there to start them");
    // And not again for those that do not get on.
    assert!(!starter.has_many());
    starter.wait_for_few(Duration::from_secs(24 * 60 * 60));
    starter.0.state().ended += 1;
    assert!(starter.has_many());
    starter.0.state().queue.clear();
}
