use super::file::take_flag;
use super::*;

#[test]
fn every_mistake_is_reported_at_once_with_place_key_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leadline.toml");
    std::fs::write(&path, "listen = \"here\"\npartitions = 0\n[log]\nlevle = \"info\"\nformat = \"xml\"\n")
        .unwrap();
    let environment = |name: &str| (name == "MAX_CONCURRENT_REQUESTS").then(|| "many".to_owned());
    let (_, mistakes) = read(Some(&path), environment, &[]);
    let text: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let text = text.join("\n");
    assert_eq!(mistakes.len(), 5, "{text}");
    for part in [
        "listen: \"here\" is no address",
        "partitions: \"0\"",
        "did you mean \"log.level\"",
        "log.format",
        "environment: MAX_CONCURRENT_REQUESTS",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_mistake_is_one_short_line_however_long_the_value_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leadline.toml");
    let long = "x".repeat(50_000);
    for file in [
        format!("listen = \"{long}\""),
        format!("{long} = 1"),
        format!("a = 1\nb = \"{long}"),
        format!("[log]\nmax_bytes = \"{long}\\n\""),
    ] {
        std::fs::write(&path, file).unwrap();
        let (_, mistakes) = read(Some(&path), |name| (name == "LOG_LEVEL").then(|| long.clone()), &[]);
        assert_eq!(mistakes.len(), 2);
        for mistake in mistakes {
            let line = mistake.to_string();
            assert!(line.len() < 500 && !line.contains('\n'), "{line}");
        }
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leadline.toml");
    std::fs::write(&path, "[http]\nrequests_max = 7\nprocess_timeout_s = 8\n").unwrap();
    let environment = |name: &str| (name == "MAX_CONCURRENT_REQUESTS").then(|| "9".to_owned());
    let (config, mistakes) = read(Some(&path), environment, &[]);
    assert_eq!((config.requests_max, config.process_timeout_s, mistakes.len()), (9, 8, 0));
}

#[test]
fn the_example_names_every_key_and_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/leadline.example.toml");
    let (_, mistakes) = read(Some(&path), |_| None, &[]);
    assert_eq!(mistakes, Vec::new());
    let text = std::fs::read_to_string(&path).unwrap();
    for key in super::keys::all() {
        let last = key.name.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{last} =")), "{} is missing in the example", key.name);
        assert!(key.variable.is_none_or(|variable| text.contains(variable)), "{:?} is missing", key.variable);
    }
    for field in transcription::FIELDS {
        assert!(text.contains(&format!("{field} =")), "transcription.NAME.{field} is missing in the example");
    }
    for field in scoring::FIELDS {
        assert!(text.contains(&format!("{field} =")), "scoring.NAME.{field} is missing in the example");
    }
}

#[test]
fn empty_variables_are_not_set_and_addresses_may_be_named() {
    let (config, mistakes) = read(None, |_| Some(String::new()), &[]);
    assert_eq!((config, mistakes), (Config::default(), Vec::new()));
    let mut config = Config::default();
    for good in ["localhost:8080", "[::1]:80", "0.0.0.0:0", "fd:3"] {
        assert_eq!(take_flag(&mut config, "listen", good), Ok(()), "{good}");
    }
    for bad in ["localhost", "localhost:x", ":80", "http://x:80", "fd:1", "fd:x", "127.0.0.1:99999"] {
        let mistake = take_flag(&mut config, "listen", bad).unwrap_err().to_string();
        assert!(mistake.starts_with("command line: --listen: ") && mistake.contains(bad), "{mistake}");
    }
}

#[test]
fn a_filter_of_logs_is_checked_and_a_section_is_told_from_a_key() {
    let level = |text: &str| {
        let (config, mistakes) = read(None, |name| (name == "LOG_LEVEL").then(|| text.to_owned()), &[]);
        (config.log_level, mistakes.len())
    };
    assert_eq!(level("WARNING"), ("warn".to_owned(), 0));
    assert_eq!(level("leadline=debug,info").1, 0);
    assert_eq!((level("loud").1, level("leadline=loud").1), (1, 1));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leadline.toml");
    std::fs::write(&path, "log = 3\n").unwrap();
    let (_, mistakes) = read(Some(&path), |_| None, &[]);
    assert!(mistakes[0].what.contains("[log]"), "{mistakes:?}");
}

#[test]
fn a_log_on_kafka_needs_brokers_and_a_name_and_shares_no_file() {
    let flags = [("log.kind", "kafka"), ("kafka.processes", "3")];
    let (_, mistakes) = read(None, |_| None, &flags);
    let keys: Vec<&str> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    if !cfg!(feature = "kafka") {
        assert_eq!(keys, ["--log"]);
        assert!(mistakes[0].what.contains("--features kafka"), "{}", mistakes[0]);
        return;
    }
    assert_eq!(keys, ["kafka.brokers", "kafka.instance", "records.store"]);
    let right = [("kafka.brokers", "a:9092,b:9092"), ("kafka.instance", "one"), ("records.store", "none")];
    let (config, mistakes) = read(None, |_| None, &[&flags[..], &right[..]].concat());
    assert_eq!((mistakes, config.kafka.brokers.as_str()), (Vec::new(), "a:9092,b:9092"));
}

#[test]
fn keys_of_the_kafka_client_go_through_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leadline.toml");
    let text = "[kafka.client]\nsecurity.protocol = \"SASL_SSL\"\nsasl.mechanism = \"PLAIN\"\nacks = \"0\"\n";
    std::fs::write(&path, text).unwrap();
    let (config, mistakes) = read(Some(&path), |_| None, &[]);
    let keys: Vec<&str> = config.kafka.client.keys().map(String::as_str).collect();
    assert_eq!(keys, ["sasl.mechanism", "security.protocol"]);
    assert_eq!(mistakes.len(), 1);
    assert_eq!(mistakes[0].key, "kafka.client.acks");
}

#[test]
fn an_admin_address_that_others_can_reach_needs_a_token() {
    let asked = |flags: &[(&str, &str)]| {
        let (config, mistakes) = read(None, |_| None, flags);
        (config.admin_listen.map(|address| address.to_string()), mistakes)
    };
    assert_eq!(asked(&[]), (None, Vec::new()), "nobody is listened to by default");
    assert_eq!(asked(&[("admin.listen", "9180")]), (Some("127.0.0.1:9180".to_owned()), Vec::new()));
    let (_, mistakes) = asked(&[("admin.listen", "0.0.0.0:9180")]);
    assert!(mistakes[0].what.contains("admin.token_file"), "{mistakes:?}");
    let with_token = [("admin.listen", "0.0.0.0:9180"), ("admin.token_file", "./token")];
    assert_eq!(asked(&with_token), (Some("0.0.0.0:9180".to_owned()), Vec::new()));
    let (_, mistakes) = asked(&[("admin.listen", "here")]);
    assert!(mistakes[0].to_string().contains("--admin-listen"), "{mistakes:?}");
}

#[test]
fn a_spool_is_for_brokers_and_a_registry_s_user_has_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leadline.toml");
    let text = "[kafka]\nspool = true\nspool_max_bytes = 1\n[schema_registry]\nurl = \"kafka:8081\"\nuser = \"me\"\n";
    std::fs::write(&path, text).unwrap();
    let (config, mistakes) = read(Some(&path), |_| None, &[]);
    let keys: Vec<&str> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["kafka.spool_max_bytes", "schema_registry.url", "kafka.spool", "schema_registry.user"]);
    assert!(config.kafka.spool && config.schema_registry.url.is_none());
    std::fs::write(&path, "[kafka]\nspool = \"perhaps\"\n").unwrap();
    let (_, mistakes) = read(Some(&path), |_| None, &[]);
    assert!(mistakes[0].what.contains("neither true nor false"), "{mistakes:?}");
}

#[test]
fn providers_of_transcripts_are_sections_of_their_own_and_say_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leadline.toml");
    let read_text = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read(Some(&path), |_| None, &[])
    };
    let (config, mistakes) = read_text(
        "[transcription.fast]\nkind = \"openai\"\nendpoint = \"http://127.0.0.1:1/x\"\nmodel = \"m\"\nprice_micros_per_minute = 6000\n\
         [transcription.local]\nkind = \"command\"\ncommand = \"hear {audio}\"\n",
    );
    assert_eq!(mistakes, Vec::new());
    let fast = &config.transcription["fast"];
    assert_eq!((fast.kind, fast.price_micros_per_minute), (Some(SpeechKind::OpenAi), Some(6_000)));
    assert_eq!(config.transcription.keys().collect::<Vec<_>>(), ["fast", "local"]);
    for (text, key, words) in [
        (
            "[transcription.a]\nmodel = \"m\"",
            "transcription.a.kind",
            "is missing: use google, openai or command",
        ),
        (
            "[transcription.g]\nkind = \"google\"\nchannels = \"left\"",
            "transcription.g.channels",
            "use mixed or separate",
        ),
        (
            "[transcription.a]\nkind = \"command\"\ncommand = \"x {audio}\"\nchannels = \"mixed\"",
            "transcription.a.channels",
            "is no key of kind command",
        ),
        (
            "[transcription.a]\nkind = \"openai\"\ncalls_max = 0",
            "transcription.a.calls_max",
            "between 1 and 768",
        ),
        ("[scoring.a]\nkind = \"openai\"\ncalls_max = 0", "scoring.a.calls_max", "between 1 and 768"),
        (
            "[scoring.a]\nkind = \"openai\"\ncalls_per_minute = \"many\"",
            "scoring.a.calls_per_minute",
            "is not a whole number",
        ),
        ("[transcription.a]\nkind = \"azure\"", "transcription.a.kind", "\"azure\" is no kind"),
        ("[transcription.a]\nkind = \"openai\"\nmodel = \"m\"", "transcription.a.endpoint", "is missing"),
        (
            "[transcription.a]\nkind = \"openai\"\nendpoint = \"http://x\"",
            "transcription.a.model",
            "is missing",
        ),
        ("[transcription.a]\nkind = \"command\"\ncommand = \"hear\"", "transcription.a.command", "{audio}"),
        (
            "[transcription.a]\nkind = \"command\"\ncommand = \"x {audio}\"\nmodel = \"m\"",
            "transcription.a.model",
            "no key of kind command",
        ),
        (
            "[transcription.a]\nkind = \"openai\"\nlevel = 1",
            "transcription.a.level",
            "is not known: a provider of transcripts has kind, endpoint",
        ),
        (
            "[transcription.callrail]\nkind = \"command\"\ncommand = \"x {audio}\"",
            "transcription.callrail.kind",
            "cannot be the name",
        ),
        ("[transcription]\nkind = \"command\"", "transcription.kind", "is not known"),
        (
            "[transcription.g]\nkind = \"google\"\nkey_file = \"t\"\nbucket = \"b\"",
            "transcription.g.project",
            "google.project",
        ),
        (
            "[transcription.g]\nkind = \"google\"\nkey_file = \"t\"\nproject = \"p\"",
            "transcription.g.bucket",
            "google.audio_bucket",
        ),
        (
            "[transcription.g]\nkind = \"google\"\nkey_file = \"t\"\nproject = \"p\"\nbucket = \"b\"\nlocation = \"us-central1\"",
            "transcription.g.location",
            "chirp_3 is not in \"us-central1\": use us, eu",
        ),
        (
            "[transcription.a]\nkind = \"openai\"\nprice_micros_per_minute = -1",
            "transcription.a.price_micros_per_minute",
            "-1",
        ),
    ] {
        let (_, mistakes) = read_text(text);
        let found = mistakes.iter().find(|mistake| mistake.key == key);
        assert!(found.is_some_and(|mistake| mistake.what.contains(words)), "{text}: {mistakes:?}");
    }
}
