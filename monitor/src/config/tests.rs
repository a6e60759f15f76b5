use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::reader::fields_of;
use super::*;
use crate::model::{DetectionId, Severity};

const SHIPPED: &str = include_str!("../../dist/credwatch.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("credwatch.toml"), text)
}

fn errors(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The shipped file with every default uncommented.
fn uncommented() -> String {
    SHIPPED
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix('#')?;
            let prose = rest.is_empty() || rest.starts_with("# ") || rest.starts_with('|');
            // Elements of the one long list keep their indentation.
            let element = rest.starts_with("    \"") || rest == "]";
            (!prose && (element || !rest.starts_with(' '))).then_some(rest)
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_shipped_file_is_the_default() {
    assert_eq!(parse(SHIPPED).unwrap(), Config::default());
    assert_eq!(parse("").unwrap(), Config::default());
    assert_eq!(parse(&uncommented()).unwrap(), Config::default());
}

#[test]
fn the_shipped_file_has_every_key() {
    let text = uncommented() + &SHIPPED.replace("#| ", "");
    let sections = [
        fields_of::<DiscoveryConfig>(),
        fields_of::<RegistryConfig>(),
        fields_of::<ControlConfig>(),
        fields_of::<DetectionConfig>(),
        fields_of::<MetadataServiceConfig>(),
        fields_of::<AllowedConfig>(),
        fields_of::<LifeConfig>(),
        fields_of::<UsersConfig>(),
        fields_of::<HarvestConfig>(),
        fields_of::<DeclaredUsers>(),
        fields_of::<Environment>(),
        fields_of::<SensorConfig>(),
        fields_of::<GatewayConfig>(),
        fields_of::<sinks::Written>(),
    ];
    for key in sections.into_iter().flatten() {
        let key = key.trim_start_matches("r#");
        let setting = text.lines().any(|line| {
            line.starts_with(&format!("{key} =")) || line.ends_with(&format!(".{key}]"))
        });
        assert!(setting, "{key} is not in the shipped file");
    }
}

#[test]
fn the_shipped_examples_are_valid() {
    let mut examples = vec![String::new()];
    for line in SHIPPED.lines() {
        match (line.strip_prefix("#| "), examples.last_mut()) {
            (Some(example), Some(last)) => *last += &format!("{example}\n"),
            (None, Some(last)) if !last.is_empty() => examples.push(String::new()),
            _ => {}
        }
    }
    examples.retain(|example| !example.is_empty());
    assert_eq!(examples.len(), 14);
    for example in examples {
        assert_ne!(parse(&example).unwrap(), Config::default(), "{example}");
    }
}

#[test]
fn a_whole_file_is_taken() {
    let config = parse(
        r#"
        sinks = [{ type = "json" }]
        [discovery]
        roots = ["/srv"]
        [registry]
        directory = "/srv/registry.d"
        [control]
        group = "ops"
        [detection]
        fold_quiet = "1m 30s"
        disabled = ["CW-203"]
        metadata_service.allowed = ["unix:user:cloud-*"]
        [detection.control_sockets]
        allowed = ["/opt/agent/bin/*", "systemd:unit:ci.service"]
        [detection.system_secrets]
        allowed = ["systemd:unit:backup.service"]
        [detection.human_use]
        allowed = ["unix:user:postgres"]
        machines = ["unix:user:svc-*"]
        [sensor]
        job_environment = true
        ring_bytes = 65536
        wakeup_interval = "5ms"
        permission_events = false
        "#,
    )
    .unwrap();
    assert_eq!(config.discovery.roots, [PathBuf::from("/srv")]);
    assert_eq!(config.discovery.max_files, 1_000_000);
    assert_eq!(config.control.group.as_deref(), Some("ops"));
    assert_eq!(config.detection.fold_quiet, Duration::from_secs(90));
    assert!(!config.detection.enabled(DetectionId::MetadataService));
    assert!(config.detection.enabled(DetectionId::DecoyTouched));
    assert_eq!(config.detection.metadata_service.allowed.len(), 1);
    assert_eq!(config.detection.control_sockets.allowed.len(), 2);
    assert_eq!(config.detection.system_secrets.allowed.len(), 1);
    assert_eq!(config.detection.human_use.allowed.len(), 1);
    assert_eq!(config.detection.human_use.machines.len(), 1);
    assert!(config.sensor.job_environment);
    assert_eq!(config.detection.process_memory.allowed, []);
    assert_eq!(config.sensor.ring_bytes, 65536);
    assert!(!config.sensor.permission_events);
    assert_eq!(
        config.sinks,
        [SinkConfig {
            kind: SinkKind::Json { path: None },
            min_severity: Severity::Low
        }]
    );
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    insta::assert_snapshot!(errors(
        r#"[discovery]
roots = ["srv"]
max_files = 0
exclude = "/proc"

[detection]
fold_quiet = 60
fold_max = "soon"
disabled = ["CW-999"]
[detection.metadata_service]
alowed = []
allowed = ["nginx"]

[sensor]
ring_bytes = 100000

[sensors]
x = 1

[[sinks]]
type = "syslog"
transport = "tcp"
adress = "siem:601"

[[sinks]]
type = "syslog"
transport = "udp"
address = "siem"

[[sinks]]
type = "sylog"

[[sinks]]
type = "syslog"
facility = "authprv"

[[sinks]]
type = "terminal"
path = "/tmp/x"

[[sinks]]
min_severity = "low"
"#
    ));
}

#[test]
fn what_holds_between_keys_is_checked() {
    let cases = [
        "[detection]\nfold_quiet = \"2h\"\n",
        "[[sinks]]\ntype = \"json\"\n[[sinks]]\ntype = \"terminal\"\n",
        "[[sinks]]\ntype = \"syslog\"\n[[sinks]]\ntype = \"syslog\"\naddress = \"/dev/log\"\n",
        "sinks = []",
        "sinks = 5\ndiscovery = 3",
        "[[sinks]]\ntype = \"syslog\"\ntransport = \"udp\"\n",
    ];
    insta::assert_snapshot!(cases.map(errors).join("\n\n"));
}

#[test]
fn broken_syntax_is_told() {
    insta::assert_snapshot!(errors(
        "[discovery]\nroots = [\"/srv\"\n[sensor]\nring_bytes = = 5\n"
    ));
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("absent.toml");
    let error = Config::load(&path).unwrap_err();
    assert_eq!(error.problems()[0].position, None);
    assert!(
        error
            .to_string()
            .contains("absent.toml: cannot be read: No such file")
    );
    let path = directory.path().join("latin1.toml");
    std::fs::write(&path, b"# \xfc\n").unwrap();
    assert!(
        Config::load(&path)
            .unwrap_err()
            .to_string()
            .contains(":1:3: not UTF-8")
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_values_make_it_panic(
        section in "\\[{1,2}(discovery|detection|sensor|sinks|control|x|detection\\.metadata_service|detection\\.system_secrets|detection\\.human_use)\\]{1,2}",
        key in "(roots|type|address|ring_bytes|fold_max|allowed|group|[a-zé]{1,5})",
        value in "(\"[^\"\\\\]{0,20}\"|-?[0-9]{1,20}|\\[\\]|true|\\{a=1\\}|1979-05-27|nan)",
    ) {
        let text = format!("{section}\n{key} = {value}\n");
        // A value may have ends of lines in it.
        let lines = text.matches('\n').count() + 1;
        if let Err(error) = parse(&text) {
            for problem in error.problems() {
                prop_assert!(problem.position.is_some_and(|(line, column)| line <= lines && column >= 1));
                prop_assert!(!problem.message.contains('\n'), "{}", problem);
            }
        }
    }
}

#[test]
fn life_lays_times_over_the_defaults() {
    let text = "[life]\nrotation_window = \"2h\"\nretire_rotated = false\n\
                longest = { jwt = \"90d\", x509-certificate = \"never\" }\n[detection]\n";
    let life = parse(text).unwrap().detection.life;
    assert_eq!(life.rotation_window.as_secs(), 7_200);
    assert!(!life.retire_rotated);
    assert_eq!(life.dormancy.as_secs(), 30 * 86_400);
    let limit = |kind| life.longest.get(&kind).map(Duration::as_secs);
    assert_eq!(limit(crate::model::CredentialKind::Jwt), Some(90 * 86_400));
    assert_eq!(limit(crate::model::CredentialKind::X509Certificate), None);
    assert_eq!(
        limit(crate::model::CredentialKind::AwsAccessKey),
        Some(365 * 86_400)
    );
    assert_eq!(limit(crate::model::CredentialKind::SshPrivateKey), None);
    for (bad, says) in [
        ("[life]\ndormant = \"1h\"", "dormancy"),
        ("[life]\nreview = 7", "duration with its unit"),
        ("[life.longest]\njwt = \"soon\"", "never"),
        ("[life.longest]\nkey = \"1h\"", "ssh-private-key"),
        ("[detection.life]\nreview = \"1h\"", "unknown key"),
    ] {
        let error = parse(bad).unwrap_err().to_string();
        assert!(error.contains(says), "{bad}: {error}");
    }
}

#[test]
fn a_gateway_names_interfaces_and_networks() {
    let config = parse(
        "[gateway]\ninterfaces = [\"br-iot\", \"wlan1\", \"br-iot\"]\n\
         networks = [\"192.168.50.7/24\", \"fd00::1\"]\ninterval = \"5s\"\n",
    );
    let gateway = config.unwrap().gateway;
    assert_eq!(gateway.interfaces, ["br-iot", "wlan1"]);
    let networks: Vec<_> = gateway.networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["192.168.50.0/24", "fd00::1/128"]);
    assert_eq!(gateway.interval, Duration::from_secs(5));
    for (text, says) in [
        ("interfaces = [\"\"]", "`` is no name of an interface"),
        (
            "interfaces = [\"a-name-of-16-byte\"]",
            "is no name of an interface",
        ),
        ("interfaces = [\"../eth0\"]", "is no name of an interface"),
        (
            "networks = [\"devices\"]",
            "`devices` is neither a network nor an address",
        ),
        ("interval = \"2h\"", "write a duration from"),
        ("interface = [\"br-iot\"]", "did you mean `interfaces`?"),
    ] {
        let error = errors(&format!("[gateway]\n{text}\n"));
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn a_cluster_is_reached_by_a_kubeconfig_and_has_this_node() {
    let text =
        "[kubernetes]\nkubeconfig = \"/etc/credwatch/kubeconfig\"\nnode = \"node-1.example\"\n";
    let kubernetes = parse(text).unwrap().kubernetes;
    assert!(!kubernetes.api);
    let path = kubernetes.kubeconfig.unwrap();
    assert_eq!(path, Path::new("/etc/credwatch/kubeconfig"));
    assert_eq!(kubernetes.node.as_deref(), Some("node-1.example"));
    for (text, says) in [
        ("kubeconfig = \"config\"", "is no absolute path"),
        ("node = \"a,spec.x=b\"", "is no name of a node"),
        ("node = \"\"", "is no name of a node"),
        ("apis = true", "did you mean `api`?"),
        ("api = 1", "api"),
    ] {
        let error = errors(&format!("[kubernetes]\n{text}\n"));
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn a_watch_that_was_not_built_in_is_told_with_what_to_do() {
    let read = parse("[kubernetes]\napi = true\n");
    if cfg!(feature = "kubernetes") {
        assert!(read.unwrap().kubernetes.api);
    } else {
        let error = errors("[kubernetes]\napi = true\n");
        assert!(error.contains("--features kubernetes"), "{error}");
    }
}
