//! Every other format, with values that are plainly made up.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::model::{Bound, ClusterUid};

fn labels(found: &[Credential]) -> Vec<&str> {
    found
        .iter()
        .map(|c| c.label.as_deref().unwrap_or(""))
        .collect()
}

const SECRET: &str = "Fake/SecretKeyForTests+0123456789abcdefG";

#[test]
fn aws_profiles_sessions_and_stray_keys() {
    let key = key();
    let text = format!(
        "[default]\naws_access_key_id = AKIAFAKEFAKEFAKE0001\naws_secret_access_key={SECRET}\n\
         [profile role]\nrole_arn = arn:aws:iam::1:role/x\n\
         [ci]\naws_access_key_id = ASIAFAKEFAKEFAKE0002\naws_secret_access_key={SECRET}\n\
         [half]\naws_access_key_id = AKIAFAKEFAKEFAKE0003\n\
         [docs]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key={SECRET}\n"
    );
    let found = of("/root/.aws/credentials", &text, &key);
    assert_eq!(labels(&found), ["profile default", "profile ci"]);
    assert_eq!(found[0].fingerprint.as_str(), "aws:AKIAFAKEFAKEFAKE0001");

    let env = format!(
        "export AWS_ACCESS_KEY_ID=AKIAFAKEFAKEFAKE0004\nexport AWS_SECRET_ACCESS_KEY=\"{SECRET}\"\n"
    );
    assert_eq!(
        one("/srv/.env", env, &key).fingerprint.as_str(),
        "aws:AKIAFAKEFAKEFAKE0004"
    );

    let session = format!(
        r#"{{"Credentials":{{"AccessKeyId":"ASIAFAKEFAKEFAKE0005","SecretAccessKey":"{SECRET}","Expiration":"2026-05-01T00:00:00Z"}}}}"#
    );
    let found = one("/root/.aws/cli/cache/x.json", session, &key);
    assert_eq!(found.fingerprint.as_str(), "aws:ASIAFAKEFAKEFAKE0005");
    assert!(found.expires.is_some());

    let sso = r#"{"startUrl":"https://x.example/start","accessToken":"fake-sso-token","expiresAt":"2026-05-01T00:00:00Z"}"#;
    assert_eq!(one("/x.json", sso, &key).kind, CredentialKind::AwsAccessKey);

    let stray = format!("client('AKIAFAKEFAKEFAKE0006', '{SECRET}')");
    assert_eq!(
        one("/srv/a.py", &stray, &key).fingerprint.as_str(),
        "aws:AKIAFAKEFAKEFAKE0006"
    );
    for harmless in [
        "key AKIAFAKEFAKEFAKE0006 was rotated".to_owned(),
        "AKIAFAKEFAKEFAKE0006 da39a3ee5e6b4b0d3255bfef95601890afd80709".to_owned(),
        format!("xAKIAFAKEFAKEFAKE0006 {SECRET}"),
    ] {
        assert!(of("/srv/a.txt", &harmless, &key).is_empty(), "{harmless}");
    }
}

#[test]
fn an_aws_session_in_a_profile_ends_where_the_tool_that_wrote_it_says_so() {
    let key = key();
    let text = format!(
        "[a]\naws_access_key_id = ASIAFAKEFAKEFAKE0001\naws_secret_access_key = {SECRET}\n\
         aws_session_token = fake\nexpiration = 2026-05-01T00:00:00Z\n\
         [b]\naws_access_key_id = AKIAFAKEFAKEFAKE0002\naws_secret_access_key = {SECRET}\n\
         [c]\nx_security_token_expires = 2026-06-01T02:00:00+02:00\n\
         aws_access_key_id = ASIAFAKEFAKEFAKE0003\naws_secret_access_key = {SECRET}\n\
         [d]\naws_access_key_id = ASIAFAKEFAKEFAKE0004\naws_secret_access_key = {SECRET}\n\
         aws_expiration = soon\n"
    );
    let found = of("/root/.aws/credentials", &text, &key);
    let ends: Vec<_> = found
        .iter()
        .map(|of| of.expires.map(|at| at.to_string()))
        .collect();
    let at = |text: &str| Some(text.to_owned());
    assert_eq!(
        ends,
        [
            at("2026-05-01T00:00:00.000000Z"),
            None,
            at("2026-06-01T00:00:00.000000Z"),
            None
        ]
    );
}

#[test]
fn google_azure_and_oracle() {
    let key = key();
    let google = r#"{"type":"service_account","project_id":"p","private_key_id":"f00dfeed","private_key":"-----BEGIN PRIVATE KEY-----\nFAKE\n-----END PRIVATE KEY-----\n","client_email":"bot@p.iam.example"}"#;
    let found = one("/srv/sa.json", google, &key);
    assert_eq!(found.kind, CredentialKind::GcpServiceAccountKey);
    assert_eq!(found.fingerprint.as_str(), "gcp:key:f00dfeed");
    assert_eq!(found.label.as_deref(), Some("bot@p.iam.example"));

    let user = r#"{"client_id":"c.apps","client_secret":"s","refresh_token":"1//fake-refresh","type":"authorized_user"}"#;
    let found = one("/x/application_default_credentials.json", user, &key);
    assert_eq!(found.kind, CredentialKind::GcpUserCredential);
    let federated = r#"{"type":"external_account","audience":"//iam","refresh_token":null}"#;
    assert!(of("/x.json", federated, &key).is_empty());

    let msal = r#"{"AccessToken":{"a":{"secret":"fake-access","client_id":"c"}},"RefreshToken":{"r":{"secret":"fake-refresh","client_id":"c","environment":"login.example"}}}"#;
    let found = one("/root/.azure/msal_token_cache.json", msal, &key);
    assert_eq!(found.kind, CredentialKind::AzureCredential);
    assert_eq!(found.label.as_deref(), Some("client c at login.example"));
    for principal in [
        r#"[{"client_id":"app","tenant":"t","client_secret":"fake-secret"}]"#,
        r#"{"clientId":"app","clientSecret":"fake-secret","tenantId":"t","subscriptionId":"s"}"#,
        r#"{"appId":"app","displayName":"d","password":"fake-secret","tenant":"t"}"#,
    ] {
        let found = one("/x.json", principal, &key);
        assert_eq!(found.fingerprint, key.value(b"fake-secret"));
        assert_eq!(
            found.label.as_deref(),
            Some("service principal app of tenant t")
        );
    }
    let legacy = r#"[{"_clientId":"c","refreshToken":"fake-refresh","accessToken":"fake-access"},{"servicePrincipalId":"app","accessToken":"fake-secret"}]"#;
    let found = of("/root/.azure/accessTokens.json", legacy, &key);
    assert_eq!(labels(&found), ["client c", "service principal app"]);
    let profile = r#"{"installationId":"i","subscriptions":[{"id":"s","tenantId":"t"}]}"#;
    assert!(of("/root/.azure/azureProfile.json", profile, &key).is_empty());

    let oci = "[DEFAULT]\nuser=ocid1.user\nfingerprint=20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34\ntenancy=ocid1.tenancy\nkey_file=~/k.pem\n";
    let found = one("/root/.oci/config", oci, &key);
    assert_eq!(found.kind, CredentialKind::OciApiKey);
    assert!(found.fingerprint.as_str().starts_with("oci:20:3b:"));
}

#[test]
fn service_account_tokens_name_their_account() {
    let key = key();
    let bound = token(
        r#"{"iss":"https://k8s.example","sub":"system:serviceaccount:prod:api","jti":"7f3a","iat":1777644201,"exp":1777647801,"kubernetes.io":{"namespace":"prod","pod":{"name":"api-1","uid":"4d5e-1"},"serviceaccount":{"name":"api","uid":"7a-2"}}}"#,
    );
    let path = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let found = one(path, &bound, &key);
    assert_eq!(found.kind, CredentialKind::KubernetesServiceAccountToken);
    assert_eq!(
        found.fingerprint.as_str(),
        "jwt:https://k8s.example/system:serviceaccount:prod:api/7f3a"
    );
    assert_eq!(found.subject.unwrap().as_str(), "k8s:sa:prod/api");
    let uid = |text: &str| text.parse::<ClusterUid>().ok();
    assert_eq!(found.bound, Bound::of(uid("7a-2"), uid("4d5e-1")));
    assert_eq!(found.expires.unwrap().unix_seconds(), 1_777_647_801);
    assert_eq!(found.issued.unwrap().unix_seconds(), 1_777_644_201);
    // The other two files of the volume are no secrets.
    let place = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
    assert!(of(place, "prod", &key).is_empty());
}

#[test]
fn tokens_without_an_id_are_told_apart() {
    let key = key();
    let a = token(r#"{"iss":"i","sub":"s","iat":1}"#);
    let b = token(r#"{"iss":"i","sub":"s","iat":2}"#);
    let text = format!("A={a}\nB=\"{b}\"\n");
    let found = of("/srv/.env", &text, &key);
    assert_eq!(kinds(&found), [CredentialKind::Jwt; 2]);
    assert_ne!(found[0].fingerprint, found[1].fingerprint);
    assert!(found[0].fingerprint.as_str().starts_with("jwt:i/s/hmac:"));
    assert_eq!(
        one("/x", format!("{a}\n"), &key).fingerprint,
        found[0].fingerprint
    );

    let bare = token(r#"{"some":"payload"}"#);
    assert!(of("/x/README", format!("like {bare} this"), &key).is_empty());
    assert_eq!(one("/x/t", &bare, &key).label, None);

    for none in [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx",
        "eyJ.eyJ.xxxxxxxxxxxxxxxxxxxxxxxxxx",
        &token("[1]"),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.xxxxxxxxxxxxxxxxxxxxxxxx",
    ] {
        assert!(of("/x", none, &key).is_empty(), "{none}");
    }
}

#[test]
fn kubeconfigs_hold_secrets_or_do_not() {
    let key = key();
    let pair = rcgen::KeyPair::generate().unwrap();
    let data = STANDARD.encode(pair.serialize_pem());
    let jwt = token(r#"{"iss":"i","sub":"system:serviceaccount:ci:bot","jti":"j"}"#);
    let yaml = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    server: https://x\n  name: c\nusers:\n\
         - name: cert\n  user:\n    client-certificate-data: QUJD\n    client-key-data: {data}\n\
         - name: bot\n  user:\n    token: {jwt}\n\
         - name: basic\n  user:\n    username: u\n    password: \"fake pass\"\n\
         - name: plugin\n  user:\n    exec:\n      command: aws\n      env:\n      - name: token\n        value: x\n      args:\n      - --token\n\
         - name: file\n  user:\n    tokenFile: /x\n    client-key: /y\n"
    );
    let found = of("/root/.kube/config", &yaml, &key);
    assert_eq!(labels(&found), ["user cert", "user bot", "user basic"]);
    assert_eq!(kinds(&found), [CredentialKind::Kubeconfig; 3]);
    // Each is named as it would be in a file of its own.
    let alone = one("/x.key", pair.serialize_pem(), &key);
    assert_eq!(found[0].fingerprint, alone.fingerprint);
    assert_eq!(found[1].fingerprint, one("/t", &jwt, &key).fingerprint);
    assert_eq!(found[1].subject.as_ref().unwrap().as_str(), "k8s:sa:ci/bot");

    // The key ends with the certificate beside it.
    let mut params = rcgen::CertificateParams::new(vec!["admin".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 5, 1);
    params.not_after = rcgen::date_time_ymd(2027, 5, 1);
    let pem = STANDARD.encode(params.self_signed(&pair).unwrap().pem());
    let json = format!(
        r#"{{"clusters":[],"users":[{{"name":"c","user":{{"client-certificate-data":"{pem}","client-key-data":"{data}"}}}}]}}"#
    );
    for config in [yaml.replace("QUJD", &pem), json] {
        let ends = of("/root/.kube/config", &config, &key)[0].expires;
        assert_eq!(ends.unwrap().to_string(), "2027-05-01T00:00:00.000000Z");
    }

    let json = format!(
        r#"{{"kind":"Config","clusters":[],"users":[{{"name":"bot","user":{{"token":"{jwt}"}}}}]}}"#
    );
    assert_eq!(one("/x", json, &key).fingerprint, found[1].fingerprint);
    let nested = format!("clusters:\nusers:\n  - name: a\n    user:\n      token: {jwt}\n");
    assert_eq!(one("/x", nested, &key).fingerprint, found[1].fingerprint);
    let plugin = "clusters: []\nusers:\n- name: a\n  user:\n    exec:\n      command: x\n      env:\n      - name: password\n        value: fake\n";
    assert!(of("/root/.kube/config", plugin, &key).is_empty());
}

#[test]
fn registries_and_hosts() {
    let key = key();
    let auth = STANDARD.encode("bob:fake-password");
    let docker = format!(
        r#"{{"auths":{{"r.example":{{"auth":"{auth}"}},"helped.example":{{}}}},"credsStore":"pass"}}"#
    );
    let found = one("/root/.docker/config.json", docker, &key);
    assert_eq!(found.kind, CredentialKind::ContainerRegistryAuth);
    assert_eq!(found.label.as_deref(), Some("r.example"));
    let same = [
        (
            "/root/.netrc",
            "machine r.example\n login bob\n password fake-password\n",
            CredentialKind::Netrc,
        ),
        (
            "/root/.git-credentials",
            "https://bob:fake-password@git.example\n",
            CredentialKind::GitCredential,
        ),
        (
            "/root/.pypirc",
            "[distutils]\nindex-servers=x\n[x]\nusername: no\nusername=bob\npassword = fake-password\n",
            CredentialKind::PypiToken,
        ),
    ];
    for (path, text, kind) in same {
        let other = one(path, text, &key);
        assert_eq!(other.kind, kind);
        assert_eq!(other.fingerprint, found.fingerprint, "{path}");
    }

    let netrc = "# c\nmachine a login u password fake-pass1\nmacdef init\nbin\nmachine no password x\n\nmachine b\nlogin u\npassword fake-pass2\ndefault login z password fake-pass3\n";
    assert_eq!(
        labels(&of("/root/.netrc", netrc, &key)),
        ["a", "b", "default"]
    );
    let prose = "the machine has a login and password for everybody";
    assert!(of("/usr/share/doc/x", prose, &key).is_empty());

    let git = "https://ghp_faketoken:x-oauth-basic@git.example/a\nhttps://u:fakepass@b.example\n";
    let found = of("/root/.git-credentials", git, &key);
    assert_eq!(labels(&found), ["git.example", "b.example"]);
    let readme = "see https://u:fakepass@b.example for more\n";
    assert!(of("/srv/README", readme, &key).is_empty());
    let gh = "github.com:\n    user: bob\n    oauth_token: gho_fake\n";
    assert_eq!(
        one("/root/.config/gh/hosts.yml", gh, &key).label.as_deref(),
        Some("github.com")
    );

    let npm = "registry=https://r\n//registry.npmjs.org/:_authToken=npm_fake\n//x/:_authToken=${NPM_TOKEN}\n";
    let found = one("/root/.npmrc", npm, &key);
    assert_eq!(found.label.as_deref(), Some("registry.npmjs.org"));
    let pypi = one(
        "/root/.pypirc",
        "[pypi]\nusername = __token__\npassword = pypi-fake\n",
        &key,
    );
    assert_eq!(pypi.fingerprint, key.value(b"pypi-fake"));
    let cargo = "[registry]\ntoken = \"cio-fake\"\n[registries.corp]\ntoken = \"fake-corp\"\n[registries.keyed]\ncredential-provider = \"x\"\n";
    let found = of("/root/.cargo/credentials.toml", cargo, &key);
    assert_eq!(kinds(&found), [CredentialKind::CargoToken; 2]);
    assert_eq!(labels(&found), ["crates.io", "corp"]);
}

#[test]
fn shadow_counts_accounts_that_have_a_password() {
    let key = key();
    let text = "root:*:19000:0:99999:7:::\nana:$6$fakesalt$fakehashfakehash:20000:0:99999:7::20500:\nbin:!:1::::::\nold:!$6$fakesalt$fakehash:1::::::\n";
    let found = one("/etc/shadow", text, &key);
    assert_eq!(found.kind, CredentialKind::ShadowPassword);
    assert_eq!(found.label.as_deref(), Some("ana"));
    assert_eq!(found.subject.unwrap().as_str(), "unix:user:ana");
    assert_eq!(found.issued.unwrap().unix_seconds(), 20_000 * 86_400);
    assert_eq!(found.expires.unwrap().unix_seconds(), 20_500 * 86_400);
    assert!(of("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", &key).is_empty());
}

#[test]
fn vault_tokens_keytabs_and_pure_places() {
    let key = key();
    let token = "hvs.CAESIfakefakefakefakefakefake";
    assert_eq!(one("/tmp/x", token, &key).kind, CredentialKind::VaultToken);
    let old = one("/root/.vault-token", "s.fakefakefakefake\n", &key);
    // Named by path elsewhere, it is the same.
    let content = SecretBytes::from_vec(b"s.fakefakefakefake".to_vec());
    assert_eq!(opaque(&content, &key).fingerprint, old.fingerprint);

    let entry = |name: &str, version: u8, secret: &[u8]| {
        let mut record = vec![0, 2];
        for part in ["EXAMPLE.COM", "host", name] {
            record.extend((part.len() as u16).to_be_bytes());
            record.extend(part.as_bytes());
        }
        record.extend([0, 0, 0, 1]);
        record.extend(1_777_644_201_u32.to_be_bytes());
        record.push(version);
        record.extend([0, 18]);
        record.extend((secret.len() as u16).to_be_bytes());
        record.extend(secret);
        let mut all = (record.len() as u32).to_be_bytes().to_vec();
        all.extend(record);
        all
    };
    let mut keytab = vec![5, 2];
    keytab.extend(entry("a.example", 1, b"fake-old-key-bytes"));
    keytab.extend((-4_i32).to_be_bytes());
    keytab.extend([0; 4]);
    keytab.extend(entry("a.example", 2, b"fake-new-key-bytes"));
    keytab.extend(entry("b.example", 1, b"fake-old-key-bytes"));
    let found = of("/etc/krb5.keytab", &keytab, &key);
    assert_eq!(kinds(&found), [CredentialKind::Keytab; 2]);
    assert_eq!(
        labels(&found),
        ["host/a.example@EXAMPLE.COM", "host/b.example@EXAMPLE.COM"]
    );
    assert_eq!(found[0].issued.unwrap().unix_seconds(), 1_777_644_201);
    let mut only_new = vec![5, 2];
    only_new.extend(entry("a.example", 2, b"fake-new-key-bytes"));
    assert_eq!(one("/x", only_new, &key).fingerprint, found[0].fingerprint);

    let opaque = one(
        "/run/credentials/web.service/db",
        "fake db password\n",
        &key,
    );
    assert_eq!(opaque.kind, CredentialKind::Opaque);
    assert!(of("/srv/notes", "fake db password\n", &key).is_empty());
}
