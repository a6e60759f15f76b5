//! Files with one credential each.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// Samples of each kind.
const EACH: usize = 15;

/// How a text may stand in a file that is none of its own.
fn embed(dice: &mut Dice, name: &str, value: &str) -> (String, String) {
    match dice.below(5) {
        0 => (
            format!("/srv/{name}.env"),
            format!("A=1\nAPI_KEY=\"{value}\"\nB=2\n"),
        ),
        1 => (
            format!("/srv/{name}.yaml"),
            format!("app:\n  port: 80\n  token: {value}\n"),
        ),
        2 => (
            format!("/srv/{name}.json"),
            format!("{{\"a\":1,\"token\":\"{value}\"}}"),
        ),
        3 => (
            format!("/srv/{name}.sh"),
            format!("#!/bin/sh\ncurl -H 'Authorization: Bearer {value}' https://x\n"),
        ),
        _ => (format!("/srv/{name}"), format!("{value}\n")),
    }
}

pub(super) fn all(dice: &mut Dice) -> Vec<Sample> {
    let mut samples = keys(dice);
    for index in 0..EACH {
        samples.extend(clouds(dice, index));
        samples.extend(registries(dice, index));
        samples.extend(system(dice, index));
        samples.extend(tokens(dice, index));
        samples.extend(networks(dice, index));
    }
    samples
}

fn sample(kind: CredentialKind, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Sample {
    Sample {
        path: path.into(),
        content: content.into(),
        holds: Some(kind),
    }
}

/// Keys and certificates by the tools that people use.
fn keys(dice: &mut Dice) -> Vec<Sample> {
    use CredentialKind::{SshAuthorizedKey, SshPrivateKey, X509Certificate, X509PrivateKey};
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let read = |path: &str| std::fs::read(path).unwrap();
    let mut samples = Vec::new();
    for index in 0..EACH {
        let path = at(&format!("ssh{index}"));
        let phrase = if index % 4 == 3 { "phrase" } else { "" };
        let kind: &[&str] = match index % 5 {
            0 => &["-t", "ecdsa", "-b", "256"],
            1 => &["-t", "ecdsa", "-b", "521"],
            2 if index < 8 => &["-t", "rsa", "-b", "2048"],
            _ => &["-t", "ed25519"],
        };
        let comment = format!("host-{index}");
        run(
            "ssh-keygen",
            &[kind, &["-q", "-N", phrase, "-C", &comment, "-f", &path]].concat(),
        );
        let pem = String::from_utf8(read(&path)).unwrap();
        samples.push(match index % 3 {
            0 => sample(SshPrivateKey, format!("/srv/{index}/id"), pem),
            1 => sample(
                SshPrivateKey,
                "/srv/a.json",
                format!("{{\"key\":\"{}\"}}", pem.replace('\n', "\\n")),
            ),
            _ => sample(
                SshPrivateKey,
                "/srv/a.yaml",
                format!("key: |\n  {}", pem.replace('\n', "\n  ")),
            ),
        });
        let public = std::fs::read_to_string(format!("{path}.pub")).unwrap();
        let options = dice.pick(&["", "no-pty ", "from=\"10.0.0.0/8\",command=\"/bin/a b\" "]);
        let list = format!("# keys\n{options}{public}");
        samples.push(sample(
            SshAuthorizedKey,
            "/home/a/.ssh/authorized_keys",
            list,
        ));
    }
    let openssl: &[&[&str]] = &[
        &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ],
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ],
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-384",
        ],
        &["genpkey", "-algorithm", "ED25519"],
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-aes256",
            "-pass",
            "pass:x",
        ],
        &["ecparam", "-genkey", "-noout", "-name", "prime256v1"],
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-outform",
            "DER",
        ],
    ];
    for (index, args) in openssl.iter().enumerate() {
        let path = at(&format!("openssl{index}"));
        run("openssl", &[args, &["-out", path.as_str()][..]].concat());
        samples.push(sample(
            X509PrivateKey,
            format!("/srv/{index}.key"),
            read(&path),
        ));
    }
    for index in 0..EACH {
        let pair = rcgen::KeyPair::generate().unwrap();
        let (path, text) = match index % 2 {
            0 => (format!("/srv/{index}.pem"), pair.serialize_pem()),
            _ => (
                format!("/srv/.env{index}"),
                format!(
                    "TLS_KEY=\"{}\"\n",
                    pair.serialize_pem().replace('\n', "\\n")
                ),
            ),
        };
        samples.push(sample(X509PrivateKey, path, text));
        let names = vec![format!("host-{index}.example.org")];
        let leaf = rcgen::CertificateParams::new(names)
            .unwrap()
            .self_signed(&pair)
            .unwrap();
        samples.push(match index % 3 {
            0 => sample(
                X509Certificate,
                format!("/srv/{index}.der"),
                leaf.der().to_vec(),
            ),
            _ => sample(X509Certificate, format!("/srv/{index}.crt"), leaf.pem()),
        });
    }
    samples
}

fn clouds(dice: &mut Dice, index: usize) -> Vec<Sample> {
    use CredentialKind::{
        AwsAccessKey, AzureCredential, GcpServiceAccountKey, GcpUserCredential, OciApiKey,
    };
    let id = format!(
        "{}{}",
        dice.pick(&["AKIA", "ASIA"]),
        dice.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)
    );
    let secret = dice.base64(40);
    let (path, text) = match index % 5 {
        0 => (
            "/root/.aws/credentials",
            format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
        ),
        1 => (
            "/srv/.env",
            format!("export AWS_ACCESS_KEY_ID={id}\nexport AWS_SECRET_ACCESS_KEY='{secret}'\n"),
        ),
        2 => (
            "/root/.aws/cli/cache/a.json",
            format!(
                "{{\"Credentials\":{{\"AccessKeyId\":\"{id}\",\"SecretAccessKey\":\"{secret}\",\"SessionToken\":\"x\",\"Expiration\":\"2026-05-01T00:00:00Z\"}}}}"
            ),
        ),
        3 => ("/srv/a.py", format!("s3 = client('{id}',\n  '{secret}')\n")),
        _ => (
            "/srv/config.toml",
            format!("[s3]\nid = \"{id}\"\nsecret = \"{secret}\"\n"),
        ),
    };
    let aws = sample(AwsAccessKey, path, text);
    let pem = rcgen::KeyPair::generate()
        .unwrap()
        .serialize_pem()
        .replace('\n', "\\n");
    let google = format!(
        "{{\n  \"type\": \"service_account\",\n  \"project_id\": \"p{index}\",\n  \"private_key_id\": \"{}\",\n  \
         \"private_key\": \"{pem}\",\n  \"client_email\": \"bot@p{index}.iam.gserviceaccount.com\"\n}}",
        dice.hex(40)
    );
    let user = format!(
        "{{\"client_id\":\"{}.apps.googleusercontent.com\",\"client_secret\":\"{}\",\"refresh_token\":\"1//{}\",\"type\":\"authorized_user\"}}",
        dice.text("0123456789", 12),
        dice.url64(24),
        dice.url64(100)
    );
    let azure = match index % 3 {
        0 => format!(
            "{{\"clientId\":\"{}\",\"clientSecret\":\"{}\",\"tenantId\":\"t\",\"subscriptionId\":\"s\"}}",
            dice.hex(32),
            dice.url64(40)
        ),
        1 => format!(
            "{{\"AccessToken\":{{}},\"RefreshToken\":{{\"r\":{{\"secret\":\"{}\",\"client_id\":\"c\",\"environment\":\"login.example\"}}}}}}",
            dice.url64(200)
        ),
        _ => format!(
            "[{{\"client_id\":\"app\",\"tenant\":\"t\",\"client_secret\":\"{}\"}}]",
            dice.url64(40)
        ),
    };
    let print: Vec<_> = (0..16).map(|_| dice.hex(2)).collect();
    let oracle = format!(
        "[DEFAULT]\nuser=ocid1.user.oc1..{}\nfingerprint={}\ntenancy=ocid1.tenancy.oc1..x\nregion=eu\nkey_file=~/k.pem\n",
        dice.base62(20),
        print.join(":")
    );
    vec![
        aws,
        sample(GcpServiceAccountKey, format!("/srv/sa{index}.json"), google),
        sample(
            GcpUserCredential,
            "/root/.config/gcloud/application_default_credentials.json",
            user,
        ),
        sample(AzureCredential, format!("/root/.azure/{index}.json"), azure),
        sample(OciApiKey, "/root/.oci/config", oracle),
    ]
}

fn registries(dice: &mut Dice, index: usize) -> Vec<Sample> {
    use CredentialKind::{
        CargoToken, ContainerRegistryAuth, GitCredential, Netrc, NpmToken, PypiToken,
    };
    let password = dice.url64(24);
    let auth = STANDARD.encode(format!("bob:{password}"));
    let docker = match index % 3 {
        0 => sample(
            ContainerRegistryAuth,
            "/root/.docker/config.json",
            format!("{{\"auths\":{{\"r.example\":{{\"auth\":\"{auth}\"}}}}}}"),
        ),
        1 => sample(
            ContainerRegistryAuth,
            "/run/containers/0/auth.json",
            format!(
                "{{\n\t\"auths\": {{\n\t\t\"quay.io\": {{\n\t\t\t\"auth\": \"{auth}\"\n\t\t}}\n\t}}\n}}"
            ),
        ),
        _ => {
            let (path, text) = embed(
                dice,
                "hub",
                &format!("dckr_pat_{}", Dice(index as u64 + 7).url64(27)),
            );
            sample(ContainerRegistryAuth, path, text)
        }
    };
    let github = |dice: &mut Dice, prefix: &str| checked(dice, prefix);
    let git = match index % 5 {
        0 => sample(
            GitCredential,
            "/root/.git-credentials",
            format!("https://bob:{password}@git.example\n"),
        ),
        1 => sample(
            GitCredential,
            "/root/.config/gh/hosts.yml",
            format!(
                "github.com:\n    user: bob\n    oauth_token: {}\n",
                github(dice, "gho_")
            ),
        ),
        2 => {
            let token = format!("glpat-{}", dice.url64(20));
            let (path, text) = embed(dice, "gitlab", &token.replace("--", "-a"));
            sample(GitCredential, path, text)
        }
        3 => {
            let token = format!("github_pat_{}_{}", dice.base62(22), dice.base62(59));
            let (path, text) = embed(dice, "fine", &token);
            sample(GitCredential, path, text)
        }
        _ => {
            let prefix = dice.pick(&["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]);
            let token = github(dice, prefix);
            let (path, text) = embed(dice, "gh", &token);
            sample(GitCredential, path, text)
        }
    };
    let netrc = sample(
        Netrc,
        "/root/.netrc",
        format!("machine api.example login bob password {password}\n"),
    );
    let token = github(dice, "npm_");
    let npm = match index % 2 {
        0 => sample(
            NpmToken,
            "/root/.npmrc",
            format!("//registry.npmjs.org/:_authToken={token}\n"),
        ),
        _ => {
            let (path, text) = embed(dice, "npm", &token);
            sample(NpmToken, path, text)
        }
    };
    let token = format!("pypi-AgEIcHlwaS5vcmc{}", dice.url64(150));
    let pypi = match index % 2 {
        0 => sample(
            PypiToken,
            "/root/.pypirc",
            format!("[pypi]\nusername = __token__\npassword = {token}\n"),
        ),
        _ => {
            let (path, text) = embed(dice, "pypi", token.trim_end_matches('-'));
            sample(PypiToken, path, text)
        }
    };
    let cargo = match index % 2 {
        0 => sample(
            CargoToken,
            "/root/.cargo/credentials.toml",
            format!("[registry]\ntoken = \"cio{}\"\n", dice.base62(32)),
        ),
        _ => {
            let token = format!("cio{}", dice.base62(32));
            let (path, text) = embed(dice, "cargo", &token);
            sample(CargoToken, path, text)
        }
    };
    vec![docker, git, netrc, npm, pypi, cargo]
}

/// A token as GitHub and npm make them: 30 random digits and their checksum.
fn checked(dice: &mut Dice, prefix: &str) -> String {
    let secret = dice.base62(30);
    let mut rest = crc32fast::hash(secret.as_bytes());
    let mut sum = String::new();
    for _ in 0..6 {
        let digit = usize::try_from(rest % 62).unwrap();
        let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        sum.insert(0, char::from(digits[digit]));
        rest /= 62;
    }
    format!("{prefix}{secret}{sum}")
}

fn system(dice: &mut Dice, index: usize) -> Vec<Sample> {
    use CredentialKind::{
        Jwt, Keytab, Kubeconfig, KubernetesServiceAccountToken, Opaque, ShadowPassword, VaultToken,
    };
    let salt = format!("salt{index}");
    let hash = if index < 4 {
        run(
            "openssl",
            &["passwd", "-6", "-salt", &salt, "not a password"],
        )
        .trim()
        .to_owned()
    } else {
        format!("$y$j9T${}${}", dice.base62(22), dice.base62(43))
    };
    let shadow =
        format!("root:*:19000:0:99999:7:::\nsvc{index}:{hash}:20000:0:99999:7:::\nbin:!:1::::::\n");
    let vault = match index % 2 {
        0 => sample(
            VaultToken,
            "/root/.vault-token",
            format!("hvs.{}\n", dice.base62(90)),
        ),
        _ => {
            let (path, text) = embed(
                dice,
                "vault",
                &format!("hvs.CAESI{}", Dice(index as u64 + 99).base62(90)),
            );
            sample(VaultToken, path, text)
        }
    };
    let secret = dice.base64(32);
    let mut record = vec![0, 2];
    for part in ["EXAMPLE.COM", "host", "a.example"] {
        record.extend((part.len() as u16).to_be_bytes());
        record.extend(part.as_bytes());
    }
    record.extend([0, 0, 0, 1, 0x69, 0xf0, 0, index as u8, 3, 0, 18, 0, 32]);
    record.extend(secret.as_bytes());
    let mut keytab = vec![5, 2];
    keytab.extend((record.len() as u32).to_be_bytes());
    keytab.extend(record);
    let claims = format!(
        "{{\"iss\":\"https://i{index}.example\",\"sub\":\"svc\",\"jti\":\"{}\",\"exp\":1777647801}}",
        dice.hex(16)
    );
    let (path, text) = embed(dice, "jwt", &token(&claims));
    let jwt = sample(Jwt, path, text);
    let claims = format!(
        "{{\"iss\":\"https://k8s\",\"sub\":\"system:serviceaccount:prod:api\",\"jti\":\"{}\",\"kubernetes.io\":{{\"namespace\":\"prod\"}}}}",
        dice.hex(8)
    );
    let account = sample(
        KubernetesServiceAccountToken,
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
        token(&claims),
    );
    let user = match index % 3 {
        0 => format!("token: {}", dice.url64(40)),
        1 => format!(
            "client-key-data: {}",
            STANDARD.encode(rcgen::KeyPair::generate().unwrap().serialize_pem())
        ),
        _ => format!("username: u\n    password: {}", dice.base62(20)),
    };
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    server: https://x\n  name: c\nusers:\n- name: u\n  user:\n    {user}\n"
    );
    let place = dice.pick(&[
        "/run/credentials/web.service/db",
        "/run/secrets/db",
        "/etc/credstore/api",
    ]);
    vec![
        sample(ShadowPassword, "/etc/shadow", shadow),
        vault,
        sample(Keytab, "/etc/krb5.keytab", keytab),
        jwt,
        account,
        sample(
            Kubeconfig,
            Path::new("/root/.kube/config").to_str().unwrap(),
            kubeconfig,
        ),
        sample(Opaque, place, dice.base62(16)),
    ]
}

fn tokens(dice: &mut Dice, index: usize) -> Vec<Sample> {
    let token = match index % 9 {
        0 => format!(
            "xoxb-{}-{}-{}",
            dice.text("123456789", 12),
            dice.text("123456789", 13),
            dice.base62(24)
        ),
        1 => format!(
            "xoxp-{}-{}-{}-{}",
            dice.text("123456789", 12),
            dice.text("123456789", 12),
            dice.text("123456789", 12),
            dice.hex(32)
        ),
        2 => format!("sk_live_{}", dice.base62(99)),
        3 => format!("rk_live_{}", dice.base62(24)),
        4 => format!("SG.{}.{}", dice.url64(22), dice.url64(43)),
        5 => format!("dop_v1_{}", dice.hex(64)),
        6 => format!("hf_{}", dice.base62(34)),
        7 => format!("glsa_{}_{}", dice.base62(32), dice.hex(8)),
        _ => format!("shpat_{}", dice.hex(32)),
    };
    let (path, text) = embed(dice, "api", &token);
    vec![sample(CredentialKind::ApiToken, path, text)]
}

fn networks(dice: &mut Dice, index: usize) -> Vec<Sample> {
    let key: Vec<_> = (0..32).map(|_| dice.below(256) as u8).collect();
    let key = STANDARD.encode(key);
    let static_key: Vec<_> = (0..16).map(|_| dice.hex(32)).collect();
    let static_key = static_key.join("\n");
    let vpn = match index % 5 {
        0 => (
            "/etc/wireguard/wg0.conf",
            format!(
                "[Interface]\nPrivateKey = {key}\nAddress = 10.0.0.1/24\n[Peer]\nPublicKey = {key}\n"
            ),
        ),
        1 => (
            "/etc/systemd/network/wg0.netdev",
            format!(
                "[NetDev]\nName=wg0\nKind=wireguard\n[WireGuard]\nPrivateKey={key}\nListenPort=51820\n"
            ),
        ),
        2 => (
            "/etc/NetworkManager/system-connections/wg0.nmconnection",
            format!(
                "[connection]\nid=wg0\ntype=wireguard\n[wireguard]\nprivate-key={key}\n[wireguard-peer.{key}]\nendpoint=a:1\n"
            ),
        ),
        3 => (
            "/etc/openvpn/ta.key",
            format!(
                "#\n# 2048 bit OpenVPN static key\n#\n-----BEGIN OpenVPN Static key V1-----\n{static_key}\n-----END OpenVPN Static key V1-----\n"
            ),
        ),
        _ => (
            "/etc/openvpn/client.ovpn",
            format!(
                "client\nremote vpn.example 1194\n<tls-crypt>\n-----BEGIN OpenVPN Static key V1-----\n{static_key}\n-----END OpenVPN Static key V1-----\n</tls-crypt>\n"
            ),
        ),
    };
    let phrase = dice.base62(16);
    let wifi = match index % 5 {
        0 => (
            "/etc/wpa_supplicant/wpa_supplicant.conf",
            format!(
                "country=DE\nnetwork={{\n    ssid=\"plant{index}\"\n    psk=\"{phrase}\"\n}}\n"
            ),
        ),
        1 => (
            "/etc/NetworkManager/system-connections/plant",
            format!(
                "[connection]\nid=plant\ntype=wifi\n[wifi]\nssid=plant\n[wifi-security]\nkey-mgmt=wpa-psk\npsk={phrase}\n"
            ),
        ),
        2 => (
            "/etc/hostapd/hostapd.conf",
            format!("interface=wlan0\nssid=iot{index}\nwpa=2\nwpa_passphrase={phrase}\n"),
        ),
        3 => (
            "/var/lib/iwd/plant.psk",
            format!(
                "[Security]\nPreSharedKey={}\nPassphrase={phrase}\n",
                dice.hex(64)
            ),
        ),
        _ => (
            "/etc/config/wireless",
            format!(
                "config wifi-device 'radio0'\n\toption band '2g'\n\nconfig wifi-iface 'iot'\n\toption ssid 'iot{index}'\n\toption encryption 'psk2'\n\toption key '{phrase}'\n"
            ),
        ),
    };
    let bytes = |dice: &mut Dice, len: usize| {
        let bytes: Vec<_> = (0..len).map(|_| dice.below(256) as u8).collect();
        STANDARD.encode(bytes)
    };
    let (salt, hash) = (bytes(dice, 12), bytes(dice, 64));
    let mqtt = match index % 5 {
        0 => (
            "/etc/mosquitto/passwd",
            format!("camera{index}:$7$101${salt}${hash}\n"),
        ),
        1 => ("/etc/mosquitto/users", format!("meter:$6${salt}${hash}\n")),
        2 => (
            "/etc/mosquitto/mosquitto.conf",
            format!(
                "listener 1883\nconnection upstream\naddress mqtt.example:8883\nremote_username gw{index}\nremote_password {phrase}\n"
            ),
        ),
        3 => (
            "/root/.config/mosquitto_pub",
            format!("-h mqtt.example\n-u gw{index}\n-P {phrase}\n"),
        ),
        _ => (
            "/opt/zigbee2mqtt/data/configuration.yaml",
            format!(
                "homeassistant: true\nmqtt:\n  base_topic: zigbee2mqtt\n  server: mqtt://mqtt.example\n  user: gw{index}\n  password: {phrase}\nserial:\n  port: /dev/ttyUSB0\n"
            ),
        ),
    };
    vec![
        sample(CredentialKind::VpnKey, vpn.0, vpn.1),
        sample(CredentialKind::WifiPassword, wifi.0, wifi.1),
        sample(CredentialKind::MqttPassword, mqtt.0, mqtt.1),
    ]
}

/// Secrets of shapes that are not known, to say how many are missed.
pub(super) fn of_no_known_shape(dice: &mut Dice) -> Vec<(&'static str, Sample)> {
    let mut samples = Vec::new();
    for _ in 0..8 {
        let mut add = |name, path: &str, text: String| {
            samples.push((name, sample(CredentialKind::Opaque, path, text)));
        };
        let word = dice.base62(20);
        add(
            "password in a properties file",
            "/srv/app.properties",
            format!("db.user=app\ndb.password={word}\n"),
        );
        add(
            "password in a database URL",
            "/srv/.env",
            format!("DATABASE_URL=postgres://app:{word}@db/app\n"),
        );
        add(
            "Google API key",
            "/srv/a.js",
            format!("key = 'AIza{}'", dice.url64(35)),
        );
        add(
            "Azure storage connection string",
            "/srv/.env",
            format!(
                "C=DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}==\n",
                dice.base64(86)
            ),
        );
        add(
            "Terraform state with a password",
            "/srv/terraform.tfstate",
            format!(
                "{{\"version\":4,\"resources\":[{{\"instances\":[{{\"attributes\":{{\"password\":\"{word}\"}}}}]}}]}}"
            ),
        );
        add(
            "PGP private key",
            "/srv/k.asc",
            format!(
                "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{}\n-----END PGP PRIVATE KEY BLOCK-----\n",
                dice.base64(64)
            ),
        );
        add(
            "PuTTY private key",
            "/srv/k.ppk",
            format!(
                "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\n{}\n",
                dice.base64(48)
            ),
        );
    }
    samples
}
