//! Which commands of the scripts a user may not run: before version 7.2 a server says only that there is one.

use redis::Value;
use redis::aio::MultiplexedConnection;

/// The commands of the scripts, with words that each takes behind a key.
const COMMANDS: [(&str, &[&str]); 30] = [
    ("DEL", &[]),
    ("EXISTS", &[]),
    ("GET", &[]),
    ("HDEL", &["f"]),
    ("HEXISTS", &["f"]),
    ("HGET", &["f"]),
    ("HGETALL", &[]),
    ("HINCRBY", &["f", "0"]),
    ("HLEN", &[]),
    ("HMGET", &["f"]),
    ("HSCAN", &["0"]),
    ("HSET", &["f", "v"]),
    ("PEXPIRE", &["1"]),
    ("PTTL", &[]),
    ("SADD", &["m"]),
    ("SET", &["v"]),
    ("SMEMBERS", &[]),
    ("SREM", &["m"]),
    ("SSCAN", &["0"]),
    ("STRLEN", &[]),
    ("TIME", &[]),
    ("ZADD", &["0", "m"]),
    ("ZCARD", &[]),
    ("ZRANGE", &["0", "0"]),
    ("ZRANGEBYLEX", &["-", "+"]),
    ("ZRANGEBYSCORE", &["0", "0"]),
    ("ZREM", &["m"]),
    ("ZREMRANGEBYRANK", &["0", "0"]),
    ("ZREMRANGEBYSCORE", &["0", "0"]),
    ("ZSCORE", &["m"]),
];

/// Those that the user of a connection may not run, as the server says when they are asked for in a transaction that is
/// given up: nothing is carried out. None where that cannot be asked.
pub(super) async fn missing(mut connection: MultiplexedConnection, key: &str) -> Vec<&'static str> {
    let mut nothing = redis::pipe();
    nothing.cmd("MULTI").cmd("DISCARD");
    // Without a transaction they would be carried out.
    if nothing.query_async::<Value>(&mut connection).await.is_err() {
        return Vec::new();
    }
    let mut all = redis::pipe();
    all.cmd("MULTI");
    for (name, words) in COMMANDS {
        all.cmd(name);
        if name != "TIME" {
            all.arg(key);
        }
        all.arg(words);
    }
    all.cmd("DISCARD");
    let Err(error) = all.query_async::<Value>(&mut connection).await else { return Vec::new() };
    let errors = error.into_server_errors();
    let refused = errors.iter().flat_map(|errors| errors.iter()).filter(|(_, error)| {
        error.code() == "NOPERM" && error.details().is_some_and(|text| text.contains("run the '"))
    });
    let names = refused.filter_map(|(place, _)| COMMANDS.get(place.checked_sub(1)?));
    names.map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_command_of_the_scripts_is_known() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/redis/script");
        let mut found = BTreeSet::new();
        for file in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            // Words of capitals that stand behind a bracket or a comma, as commands do.
            for part in text.split("call('").skip(1).chain(text.split(", '").skip(1)) {
                let word = part.split('\'').next().unwrap();
                let is_name = word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase());
                if is_name && !["COUNT", "LIMIT", "NX", "XX", "WITHSCORES"].contains(&word) {
                    found.insert(word.to_owned());
                }
            }
        }
        let known: BTreeSet<String> = COMMANDS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(found, known);
    }
}
