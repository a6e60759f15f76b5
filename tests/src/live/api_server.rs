//! A real Kubernetes API server with its storage, on loopback, for one test. What it serves is made and
//! deleted by requests, as kubectl makes them.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::daemon::patiently;
use super::host::{command, program, python, run};

/// The two programs: `cargo xtask kubernetes` builds and names them.
const PROGRAMS: [&str; 2] = ["CREDWATCH_ETCD", "CREDWATCH_KUBE_APISERVER"];
/// How long each may take to start.
const START: Duration = Duration::from_secs(120);

/// The token of who may do everything, and the one that the daemon is given.
const ADMIN: &str = "admin-of-this-test";
const DAEMON: &str = "daemon-of-this-test";

/// One request: prints the status, and what was answered.
const REQUEST: &str = "import ssl, sys, urllib.request, urllib.error\n\
    ca, token, method, url, body = sys.argv[1:]\n\
    r = urllib.request.Request(url, method=method, data=body.encode() or None, headers={\n\
    'Authorization': 'Bearer ' + token, 'Content-Type': 'application/json'})\n\
    try:\n\
    \x20   a = urllib.request.urlopen(r, context=ssl.create_default_context(cafile=ca), timeout=20)\n\
    except urllib.error.HTTPError as e:\n\
    \x20   a = e\n\
    except OSError as e:\n\
    \x20   print(0, e); sys.exit()\n\
    print(a.status, a.read().decode())";

/// An API server that runs, with its storage. Both end when this is dropped, and when the test does.
pub(super) struct ApiServer {
    directory: TempDir,
    port: u16,
    etcd: Server,
    api: Option<Server>,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is no error.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts a server that does not outlive this test, whatever becomes of it.
    fn start(program_at: &Path, arguments: &[String], log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new(program("setpriv"))
            .args(["--pdeathsig", "KILL"])
            .arg(program_at)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }
}

/// A port of loopback that nobody has now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn server_program(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    path.map(PathBuf::from)
        .unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask kubernetes`"))
}

impl ApiServer {
    /// Starts both, and waits until they answer.
    pub(super) fn start() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("credwatch-live-api-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let at = |name: &str| directory.path().join(name);
        let (clients, peers, port) = (free_port(), free_port(), free_port());
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let etcd = Server::start(
            &server_program(PROGRAMS[0]),
            &[
                format!("--data-dir={}", at("etcd").display()),
                format!("--listen-client-urls={}", url(clients)),
                format!("--advertise-client-urls={}", url(clients)),
                format!("--listen-peer-urls={}", url(peers)),
                format!("--initial-advertise-peer-urls={}", url(peers)),
                format!("--initial-cluster=default={}", url(peers)),
            ],
            &at("etcd.log"),
        );
        keys(directory.path());
        fs::write(at("etcd-url"), url(clients)).unwrap();
        let tokens = format!("{ADMIN},admin,1,system:masters\n{DAEMON},credwatch,2\n");
        fs::write(at("tokens"), tokens).unwrap();
        let mut server = Self {
            directory,
            port,
            etcd,
            api: None,
        };
        server.start_again();
        server
    }

    /// Ends the API server as a power cut would. What it has stored stays.
    pub(super) fn kill(&mut self) {
        self.api = None;
    }

    /// Starts the API server, where and as it was.
    pub(super) fn start_again(&mut self) {
        let at = |name: &str| self.directory.path().join(name).display().to_string();
        let arguments = [
            format!(
                "--etcd-servers={}",
                fs::read_to_string(at("etcd-url")).unwrap()
            ),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            "--endpoint-reconciler-type=none".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            format!("--tls-cert-file={}", at("server.crt")),
            format!("--tls-private-key-file={}", at("server.key")),
            format!("--token-auth-file={}", at("tokens")),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", at("accounts.key")),
            format!("--service-account-signing-key-file={}", at("accounts.key")),
            // Nobody is there who would make the default accounts that it asks for.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ];
        let api = Server::start(
            &server_program(PROGRAMS[1]),
            &arguments,
            Path::new(&at("api.log")),
        );
        self.api = Some(api);
        let deadline = Instant::now() + patiently(START);
        while self.request(ADMIN, "GET", "/readyz", &Value::Null).0 != 200 {
            let ended = self.api.as_mut().and_then(|of| of.0.try_wait().unwrap());
            let ended = ended.or_else(|| self.etcd.0.try_wait().unwrap());
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the API server does not start ({ended:?}): {}\n{}",
                tail(&at("api.log")),
                tail(&at("etcd.log"))
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn request(&self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let ca = self.directory.path().join("ca.crt");
        let url = format!("https://127.0.0.1:{}{path}", self.port);
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let done = run(&mut python(REQUEST, &[&ca, &token, &method, &url, &body]));
        let text = String::from_utf8(done.output.stdout).unwrap();
        let (status, answer) = text.split_once(' ').unwrap();
        let answer = serde_json::from_str(answer).unwrap_or(Value::Null);
        (status.parse().unwrap(), answer)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.request(ADMIN, method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    /// Makes an object, and gives its uid.
    fn make(&self, path: &str, body: &Value) -> String {
        let made = self.ask("POST", path, body);
        made["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Makes a namespace.
    pub(super) fn make_namespace(&self, name: &str) {
        self.make(
            "/api/v1/namespaces",
            &json!({ "metadata": { "name": name } }),
        );
    }

    /// Makes a service account.
    pub(super) fn make_account(&self, namespace: &str, name: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.make(&path, &json!({ "metadata": { "name": name } }));
    }

    /// Deletes it.
    pub(super) fn delete_account(&self, namespace: &str, name: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}");
        self.ask("DELETE", &path, &Value::Null);
    }

    /// Makes the object of a pod on a node, and gives its uid. Nobody runs it.
    pub(super) fn make_pod(
        &self,
        namespace: &str,
        name: &str,
        account: &str,
        node: &str,
    ) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let pod = json!({
            "metadata": { "name": name },
            "spec": {
                "nodeName": node,
                "serviceAccountName": account,
                "containers": [{ "name": "main", "image": "registry.example/api:1.4" }],
            },
        });
        self.make(&path, &pod)
    }

    /// Deletes it at once, as the kubelet does when it has ended.
    pub(super) fn delete_pod(&self, namespace: &str, name: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0");
        self.ask("DELETE", &path, &Value::Null);
    }

    /// A token of an account, bound to one of its pods where one is named, as the kubelet asks for one.
    pub(super) fn token(
        &self,
        namespace: &str,
        account: &str,
        pod: Option<(&str, &str)>,
    ) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let bound = pod.map(
            |(name, uid)| json!({ "kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid }),
        );
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": ["https://kubernetes.default.svc"],
                "expirationSeconds": 3_600,
                "boundObjectRef": bound,
            },
        });
        let answer = self.ask("POST", &path, &request);
        answer["status"]["token"].as_str().unwrap().to_owned()
    }

    /// Whether the API server takes a token.
    pub(super) fn takes(&self, token: &str) -> bool {
        // Who is known may not do this, and who is not is not asked in.
        self.request(token, "GET", "/api/v1/nodes", &Value::Null).0 != 401
    }

    /// Gives the daemon the rights that docs/deployment.md asks for.
    pub(super) fn give_rights(&self) {
        let api = "/apis/rbac.authorization.k8s.io/v1";
        let role = json!({
            "metadata": { "name": "credwatch" },
            "rules": [{
                "apiGroups": [""],
                "resources": ["serviceaccounts", "pods"],
                "verbs": ["list", "watch"],
            }],
        });
        self.make(&format!("{api}/clusterroles"), &role);
        let binding = json!({
            "metadata": { "name": "credwatch" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "credwatch",
            },
            "subjects": [{ "kind": "User", "name": "credwatch" }],
        });
        self.make(&format!("{api}/clusterrolebindings"), &binding);
    }

    /// How the daemon reaches it.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        let path = self.directory.path().join("kubeconfig");
        let ca = self.directory.path().join("ca.crt");
        // JSON is YAML.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "credwatch" } }],
            "clusters": [{
                "name": "test",
                "cluster": {
                    "server": format!("https://127.0.0.1:{}", self.port),
                    "certificate-authority": ca,
                },
            }],
            "users": [{ "name": "credwatch", "user": { "token": DAEMON } }],
        });
        fs::write(&path, config.to_string()).unwrap();
        path
    }
}

/// A certificate authority, a server's certificate, and the key that signs tokens.
fn keys(directory: &Path) {
    let at = |name: &str| directory.join(name);
    let openssl = |words: &str, more: &[&dyn AsRef<std::ffi::OsStr>]| {
        let mut command = command("openssl", &[]);
        command.args(words.split(' '));
        command.args(more.iter().map(|of| of.as_ref()));
        run(&mut command);
    };
    let new = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=credwatch-test -keyout";
    openssl(new, &[&at("ca.key"), &"-out", &at("ca.crt")]);
    let ask = "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout";
    openssl(ask, &[&at("server.key"), &"-out", &at("server.csr")]);
    fs::write(at("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        "x509 -req -days 2 -CAcreateserial -CAkey",
        &[
            &at("ca.key"),
            &"-CA",
            &at("ca.crt"),
            &"-in",
            &at("server.csr"),
            &"-extfile",
            &at("names"),
            &"-out",
            &at("server.crt"),
        ],
    );
    openssl("genrsa -out", &[&at("accounts.key"), &"2048"]);
}

fn tail(log: &str) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
