//! What is wrong with a server is told in a clear line, and never with a secret in it.

use cronkeep::store::redis::Redis as Scripts;
use cronkeep::store::{PutSnapshot, Store, StoreError, Write};

use super::harness::{all, key, mark, write};
use super::redis::Redis;
use super::server::{Server, server, started, with};

/// What a store says to a write.
async fn told(store: &dyn Store) -> StoreError {
    store.write(vec![Write::Mark(key(1), mark(0))]).await.unwrap_err()
}

#[test]
fn a_wrong_password_is_told() {
    with(started(Redis::setup().password("right")), async |server| {
        let port = server.redis.port();
        for url in [
            format!("redis://:wrong-secret@127.0.0.1:{port}"),
            format!("redis://nobody:wrong-secret@127.0.0.1:{port}"),
        ] {
            let error = told(&Scripts::new(&url, "default")).await;
            let StoreError::Refused(text) = error else { panic!("{error:?}") };
            assert!(text.starts_with("it does not know this user and password"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        for url in [
            format!("redis://127.0.0.1:{port}"),
            format!("redis://127.0.0.1:{port}/3"),
            server.redis.unix_url(),
        ] {
            let error = told(&Scripts::new(&url, "default")).await.to_string();
            let is_clear = error.starts_with("it asks for a password") && error.contains("?pass=");
            assert!(is_clear, "{url}: {error}");
        }
        write(&Scripts::new(&server.redis.url(), "default"), [Write::Mark(key(1), mark(0))]).await;
    });
}

#[test]
fn a_database_that_is_not_there_is_told() {
    with(server(), async |server| {
        let url = format!("redis://127.0.0.1:{}/99999", server.redis.port());
        let error = told(&Scripts::new(&url, "default")).await.to_string();
        assert!(error.starts_with("it has no database of the number"), "{error}");
    });
}

#[test]
fn rights_that_are_missing_are_told_in_words_of_ours() {
    with(server(), async |server| {
        let port = server.redis.port();
        let few = |rights: &[&str]| {
            let words = ["ACL", "SETUSER", "few", "reset", "on", ">pw"];
            let words: Vec<&str> = words.iter().chain(rights).copied().collect();
            server.redis.command(&words);
        };
        for (rights, part) in [
            (&["~*", "+@all", "-hset"][..], "may not run hset: give it +hset; "),
            (&["~*", "+@all", "-hset", "-hget"], "hget and hset: give it +hget +hset; "),
            // It cannot be asked which.
            (&["~*", "+@all", "-hset", "-multi"], "may not run one of the commands"),
            (&["~elsewhere", "+@all"], "may not "),
            (&["~*", "+@all", "-evalsha"], "evalsha"),
            (&["~*", "+@all", "-select"], "select"),
        ] {
            few(rights);
            let url = format!("redis://few:pw@127.0.0.1:{port}/1");
            let error = told(&Scripts::new(&url, "default")).await;
            let StoreError::Refused(text) = error else { panic!("{error:?}") };
            assert!(text.starts_with("its user may not ") && text.contains(part), "{text}");
            assert!(!text.contains("@user_script"), "{text}");
        }
    });
}

#[test]
fn a_password_where_none_is_asked_for_is_told() {
    with(server(), async |server| {
        let url = format!("redis://:secret@127.0.0.1:{}", server.redis.port());
        let error = told(&Scripts::new(&url, "default")).await;
        let StoreError::Refused(text) = error else { panic!("{error:?}") };
        assert!(text.contains("or asks for none"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    });
}

#[test]
fn a_server_that_is_not_there_is_down() {
    with(server(), async |mut server| {
        let url = server.redis.url();
        server.redis.kill();
        let error = told(&Scripts::new(&url, "default")).await;
        assert_eq!(error, StoreError::Down("connection refused".to_owned()));
        let error = told(&Scripts::new("unix:///nowhere/socket", "default")).await;
        assert!(matches!(error, StoreError::Down(_)), "{error:?}");
        let error = told(&Scripts::new("redis://no-such-host.invalid", "default")).await;
        assert!(matches!(error, StoreError::Down(_)), "{error:?}");
        let error = told(&Scripts::new("redis+sentinel://127.0.0.1:1/master", "default")).await;
        assert!(matches!(error, StoreError::Down(_)), "{error:?}");
    });
}

#[test]
fn no_memory_is_told_and_nothing_is_half_written() {
    with(server(), async |server| {
        let store = server.store("default");
        write(&store, [Write::Mark(key(2), mark(0))]).await;
        server.redis.set_config("maxmemory", "100kb");
        let error = told(&store).await;
        assert!(
            matches!(&error, StoreError::Refused(text) if text.contains("maxmemory")),
            "{error:?}"
        );
        assert_eq!(store.load().await.unwrap().jobs.len(), 1, "what is kept can be read");
        server.redis.set_config("maxmemory", "0");
        write(&store, [Write::Mark(key(1), mark(60))]).await;
    });
}

#[test]
fn a_replica_that_only_reads_is_told_and_read() {
    with(server(), async |server| {
        let replica = started(Redis::setup().replica_of(&server.redis));
        let Some(replica) = replica else { return };
        write(&server.store("default"), [Write::Mark(key(1), mark(0))]).await;
        let store = replica.store("default");
        let error = told(&store).await;
        assert!(
            matches!(&error, StoreError::Refused(text) if text.contains("only reads")),
            "{error:?}"
        );
    });
}

#[test]
fn a_key_of_another_type_is_told() {
    with(server(), async |server| {
        let store = server.store("default");
        let wrong = |name: &str| server.redis.set(&format!("{{cronkeep:default}}:{name}"), "text");
        for name in ["watermarks", "snapshot", "runs", "claims"] {
            server.redis.flush();
            wrong(name);
            let error = match name {
                "watermarks" | "claims" => told(&store).await,
                "snapshot" => store.snapshot().await.unwrap_err(),
                _ => store.runs(all(1)).await.unwrap_err(),
            };
            assert!(matches!(error, StoreError::Corrupt(_)), "{name}: {error:?}");
        }
    });
}

#[test]
fn what_makes_no_sense_is_passed_over() {
    with(server(), async |server| {
        let store = server.store("default");
        write(&store, [Write::Mark(key(1), mark(0)), Write::Pause(key(2))]).await;
        let set = |name: &str, field: &str, value: &str| {
            let name = format!("{{cronkeep:default}}:{name}");
            server.redis.command(["HSET", &name, field, value]);
        };
        set("watermarks", "no job", "no mark");
        set("watermarks", &key(3).to_string(), "yesterday");
        set("since", &key(3).to_string(), "\u{1b}[31m");
        set("owed", "x", "y");
        set("open", "x", "y");
        set("records", "x", "{}");
        set("replicas", "x", "y");
        server.redis.command(["ZADD", "{cronkeep:default}:runs", "0", "rubbish"]);
        let loaded = store.load().await.unwrap();
        assert_eq!(loaded.jobs.len(), 2);
        assert_eq!(store.runs(all(9)).await.unwrap().runs, []);
        super::harness::lease(&store).await;
    });
}

#[test]
fn a_newer_schema_is_left_alone_and_an_older_one_migrated() {
    with(server(), async |server| {
        let store = server.store("default");
        server.redis.set("{cronkeep:default}:version", "3");
        let newer = StoreError::Newer { found: 3, known: 2 };
        assert_eq!(told(&store).await, newer);
        assert_eq!(store.load().await.unwrap_err(), newer);
        assert_eq!(store.snapshot().await.unwrap_err(), newer);
        let put =
            PutSnapshot { after: 0, expected: 0, bytes: Vec::new(), seed_rows: Some("[]".into()) };
        assert_eq!(store.put_snapshot(put).await.unwrap_err(), newer);
        assert_eq!(server.redis.keys(), ["{cronkeep:default}:version"]);
        for (read_first, older) in [(true, "0"), (false, "0"), (true, "1"), (false, "1")] {
            server.redis.set("{cronkeep:default}:version", older);
            if read_first {
                store.load().await.unwrap();
            }
            write(&store, [Write::Mark(key(1), mark(0))]).await;
            assert_eq!(server.redis.get("{cronkeep:default}:version"), Some(b"2".to_vec()));
        }
        server.redis.set("{cronkeep:default}:version", "soon");
        assert!(matches!(told(&store).await, StoreError::Corrupt(_)));
        assert!(matches!(store.load().await, Err(StoreError::Corrupt(_))));
    });
}

#[test]
fn who_only_reads_changes_nothing_and_makes_no_schema_anew() {
    with(server(), async |server| {
        let store = server.store("default").reading();
        server.redis.set("{cronkeep:default}:version", "0");
        let errors = [
            store.load().await.unwrap_err(),
            store.snapshot().await.unwrap_err(),
            store.runs(all(9)).await.unwrap_err(),
            store.everyones(0).await.unwrap_err(),
        ];
        for error in errors {
            let StoreError::Refused(text) = error else { panic!("{error:?}") };
            assert!(text.contains("an earlier version"), "{text}");
        }
        assert_eq!(server.redis.get("{cronkeep:default}:version"), Some(b"0".to_vec()));
        server.redis.flush();
        assert_eq!(store.everyones(0).await, Ok(Vec::new()));
        assert_eq!(store.load().await.unwrap().jobs.len(), 0);
        assert!(matches!(told(&store).await, StoreError::Refused(_)));
        assert_eq!(server.redis.keys(), [""; 0]);
    });
}

#[test]
fn ten_mebibytes_read_back() {
    with(server(), async |server: Server| {
        let store = server.store("default");
        let bytes: Vec<u8> = (0..10_u32 << 20).map(|n| n.to_le_bytes()[1]).collect();
        let rows = "x".repeat(10 << 20);
        let put = PutSnapshot {
            after: 0,
            expected: 0,
            bytes: bytes.clone(),
            seed_rows: Some(rows.clone()),
        };
        store.put_snapshot(put).await.unwrap();
        assert_eq!(store.snapshot().await.unwrap().unwrap().bytes, bytes);
        assert_eq!(store.seed_rows().await.unwrap(), Some(rows.into_bytes()));
    });
}

#[test]
fn a_cluster_is_refused_in_words() {
    with(started(Redis::setup().argument("cluster-enabled", "yes")), async |server| {
        let error = told(&Scripts::new(&server.redis.url(), "default")).await;
        assert!(error.to_string().contains("cluster"), "{error}");
        let error = told(&Scripts::new("redis+cluster://127.0.0.1", "default")).await;
        assert!(matches!(&error, StoreError::Refused(text) if text.contains("slots")), "{error:?}");
    });
}
