//! What a running daemon takes in of another configuration, and what waits for a restart.

use super::{
    Config, ControlConfig, DetectionConfig, DiscoveryConfig, GatewayConfig, KubernetesConfig,
    RegistryConfig, SensorConfig,
};

/// How one configuration follows another.
#[derive(Debug, Clone, PartialEq)]
pub struct Succession {
    /// What holds from now on: the next configuration, and the present one in what waits.
    pub in_force: Config,
    /// Keys that changed and hold now, as they are written: `detection.disabled`.
    pub taken: Vec<&'static str>,
    /// Keys that changed and hold after a restart.
    pub waiting: Vec<&'static str>,
}

/// The keys that differ, of those that are listed: [`each_field_is_listed`] has all.
macro_rules! differing {
    ($a:expr, $b:expr; $($name:literal = $($field:ident).+),* $(,)?) => {{
        let mut keys = Vec::new();
        $(if $a.$($field).+ != $b.$($field).+ {
            keys.push($name);
        })*
        keys
    }};
}

impl Config {
    /// What becomes of `self` when `next` is read while the daemon runs. What the kernel half and
    /// the control socket are made with stays as it is: it was set up with privileges that are gone.
    pub fn succeeded_by(&self, next: Self) -> Succession {
        each_field_is_listed(self);
        let waiting = differing!(self, next;
            "control.group" = control.group,
            "sensor.ring_bytes" = sensor.ring_bytes,
            "sensor.wakeup_interval" = sensor.wakeup_interval,
            "sensor.permission_events" = sensor.permission_events,
            "sensor.backend" = sensor.backend,
            "sensor.system_call_hook" = sensor.system_call_hook,
            "sensor.rate_cap" = sensor.rate_cap,
            "sensor.heartbeat" = sensor.heartbeat,
            "sensor.dns" = sensor.dns,
            "sensor.job_environment" = sensor.job_environment,
            "gateway.interfaces" = gateway.interfaces,
            "gateway.networks" = gateway.networks,
            "gateway.interval" = gateway.interval,
            "kubernetes.api" = kubernetes.api,
            "kubernetes.kubeconfig" = kubernetes.kubeconfig,
            "kubernetes.node" = kubernetes.node,
            "discovery.environments" = discovery.environments,
            "discovery.logs" = discovery.logs,
        );
        let mut in_force = next.clone();
        in_force.control = self.control.clone();
        in_force.sensor = self.sensor.clone();
        in_force.gateway = self.gateway.clone();
        in_force.kubernetes = self.kubernetes.clone();
        in_force.discovery.environments = self.discovery.environments;
        in_force.discovery.logs.clone_from(&self.discovery.logs);
        let taken = self.taken(&in_force);
        Succession {
            in_force,
            taken,
            waiting,
        }
    }

    fn taken(&self, next: &Self) -> Vec<&'static str> {
        differing!(self, next;
            "discovery.roots" = discovery.roots,
            "discovery.exclude" = discovery.exclude,
            "discovery.max_files" = discovery.max_files,
            "registry.directory" = registry.directory,
            "detection.fold_quiet" = detection.fold_quiet,
            "detection.fold_max" = detection.fold_max,
            "detection.read_then_connect_window" = detection.read_then_connect_window,
            "detection.metadata_service" = detection.metadata_service,
            "detection.process_memory" = detection.process_memory,
            "detection.control_sockets" = detection.control_sockets,
            "detection.system_secrets" = detection.system_secrets,
            "detection.users" = detection.users,
            "detection.harvest" = detection.harvest,
            "detection.human_use" = detection.human_use,
            "detection.overprivileged" = detection.overprivileged,
            "detection.baseline" = detection.baseline,
            "detection.disabled" = detection.disabled,
            "life" = detection.life,
            "offboard" = detection.offboard,
            "[[users]]" = detection.declared_users,
            "[[environment]]" = detection.environments,
            "[[sinks]]" = sinks,
        )
    }
}

/// Does not compile where a field is new: whoever adds one adds it above too.
const fn each_field_is_listed(config: &Config) {
    let Config {
        discovery:
            DiscoveryConfig {
                roots: _,
                exclude: _,
                max_files: _,
                environments: _,
                logs: _,
            },
        registry: RegistryConfig { directory: _ },
        control: ControlConfig { group: _ },
        detection:
            DetectionConfig {
                fold_quiet: _,
                fold_max: _,
                read_then_connect_window: _,
                metadata_service: _,
                process_memory: _,
                control_sockets: _,
                system_secrets: _,
                life: _,
                users: _,
                harvest: _,
                declared_users: _,
                environments: _,
                human_use: _,
                overprivileged: _,
                baseline: _,
                offboard: _,
                disabled: _,
            },
        sensor:
            SensorConfig {
                ring_bytes: _,
                wakeup_interval: _,
                permission_events: _,
                backend: _,
                system_call_hook: _,
                rate_cap: _,
                heartbeat: _,
                dns: _,
                job_environment: _,
            },
        gateway:
            GatewayConfig {
                interfaces: _,
                networks: _,
                interval: _,
            },
        kubernetes:
            KubernetesConfig {
                api: _,
                kubeconfig: _,
                node: _,
            },
        sinks: _,
    } = config;
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Config {
        Config::parse(Path::new("credwatch.toml"), text).unwrap()
    }

    fn keys(from: &str, to: &str) -> (Vec<&'static str>, Vec<&'static str>) {
        let (before, next) = (read(from), read(to));
        let succession = before.succeeded_by(next.clone());
        // What was taken in is as it is written there, and what waits as it was.
        let again = succession.in_force.succeeded_by(next);
        assert_eq!((again.taken, &again.waiting), (vec![], &succession.waiting));
        (succession.taken, succession.waiting)
    }

    #[test]
    fn the_same_text_changes_nothing() {
        let text = "[sensor]\nrate_cap = 7\n[detection]\ndisabled = [\"CW-101\"]\n";
        assert_eq!(keys(text, text), (vec![], vec![]));
    }

    #[test]
    fn each_key_is_taken_or_waits() {
        for (text, key) in [
            ("[discovery]\nroots = [\"/a\"]", "discovery.roots"),
            ("[discovery]\nexclude = []", "discovery.exclude"),
            ("[discovery]\nmax_files = 3", "discovery.max_files"),
            ("[registry]\ndirectory = \"/a\"", "registry.directory"),
            ("[detection]\nfold_quiet = \"1s\"", "detection.fold_quiet"),
            ("[detection]\nfold_max = \"1d\"", "detection.fold_max"),
            (
                "[detection]\nread_then_connect_window = \"1s\"",
                "detection.read_then_connect_window",
            ),
            ("[detection]\ndisabled = [\"CW-101\"]", "detection.disabled"),
            (
                "[detection.metadata_service]\nallowed = []",
                "detection.metadata_service",
            ),
            (
                "[detection.process_memory]\nallowed = [\"/a\"]",
                "detection.process_memory",
            ),
            (
                "[detection.control_sockets]\nallowed = [\"/a\"]",
                "detection.control_sockets",
            ),
            (
                "[detection.system_secrets]\nallowed = [\"/a\"]",
                "detection.system_secrets",
            ),
            ("[detection.users]\nlearning = \"1s\"", "detection.users"),
            ("[detection.harvest]\nfiles = 3", "detection.harvest"),
            (
                "[detection.human_use]\nallowed = [\"/a\"]",
                "detection.human_use",
            ),
            (
                "[detection.overprivileged]\nreview = \"1h\"",
                "detection.overprivileged",
            ),
            ("[detection.baseline]\nbudget = 0.5", "detection.baseline"),
            ("[life]\ndormancy = \"1d\"", "life"),
            ("[offboard]\nremoval_grace = \"1s\"", "offboard"),
            (
                "[[users]]\ncredentials = [\"/a\"]\nallowed = [\"/b\"]",
                "[[users]]",
            ),
            (
                "[[environment]]\nname = \"a\"\nidentities = [\"unix:user:a\"]",
                "[[environment]]",
            ),
            ("[[sinks]]\ntype = \"json\"", "[[sinks]]"),
        ] {
            assert_eq!(keys("", text), (vec![key], vec![]), "{text}");
            assert_eq!(keys(text, ""), (vec![key], vec![]), "{text}");
        }
        for (text, key) in [
            ("[control]\ngroup = \"a\"", "control.group"),
            ("[gateway]\ninterfaces = [\"a\"]", "gateway.interfaces"),
            ("[gateway]\nnetworks = [\"10.0.0.1\"]", "gateway.networks"),
            ("[gateway]\ninterval = \"1s\"", "gateway.interval"),
            #[cfg(feature = "kubernetes")]
            ("[kubernetes]\napi = true", "kubernetes.api"),
            ("[kubernetes]\nkubeconfig = \"/a\"", "kubernetes.kubeconfig"),
            ("[kubernetes]\nnode = \"a\"", "kubernetes.node"),
            ("[sensor]\nring_bytes = 65536", "sensor.ring_bytes"),
            (
                "[sensor]\nwakeup_interval = \"1s\"",
                "sensor.wakeup_interval",
            ),
            (
                "[sensor]\npermission_events = false",
                "sensor.permission_events",
            ),
            ("[sensor]\nbackend = \"fanotify\"", "sensor.backend"),
            (
                "[sensor]\nsystem_call_hook = true",
                "sensor.system_call_hook",
            ),
            ("[sensor]\nrate_cap = 7", "sensor.rate_cap"),
            ("[sensor]\nheartbeat = \"1s\"", "sensor.heartbeat"),
            ("[sensor]\ndns = false", "sensor.dns"),
            ("[sensor]\njob_environment = true", "sensor.job_environment"),
            (
                "[discovery]\nenvironments = false",
                "discovery.environments",
            ),
            ("[discovery]\nlogs = []", "discovery.logs"),
        ] {
            assert_eq!(keys("", text), (vec![], vec![key]), "{text}");
            assert_eq!(keys(text, ""), (vec![], vec![key]), "{text}");
        }
    }

    #[test]
    fn what_waits_does_not_hold_up_the_rest() {
        let (taken, waiting) = keys(
            "",
            "[sensor]\nrate_cap = 7\n[detection]\ndisabled = [\"CW-108\"]",
        );
        assert_eq!(taken, ["detection.disabled"]);
        assert_eq!(waiting, ["sensor.rate_cap"]);
    }
}
