use super::*;

#[test]
fn times_carry_the_offset_of_the_zone() {
    let instant = Timestamp::from_second(0).unwrap();
    assert_eq!(at(instant, &Zone::utc()), "1970-01-01T00:00:00+00:00");
}

#[test]
fn a_length_of_time_is_short() {
    let cases = [(250, "250ms"), (5_000, "5s"), (90_000, "1m 30s"), (7_200_000, "2h"), (0, "0ms")];
    for (ms, words) in cases {
        assert_eq!(span(Duration::from_millis(ms)), words);
    }
}
