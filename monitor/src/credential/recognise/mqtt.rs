//! Passwords of MQTT: as the broker Mosquitto keeps them, and as its clients, its bridges and gateways to
//! radio networks do.

use super::pem::decode_base64;
use super::text::{is_placeholder, yaml};
use super::{Found, Input};
use crate::model::{Credential, CredentialKind};

/// Bytes of SHA-512, with or without PBKDF2: `$7$` and `$6$` of mosquitto_passwd(1).
const SHA512: usize = 64;

/// Files of these formats.
pub(super) fn recognise(input: Input<'_>, found: &mut Vec<Credential>) {
    if input.has(":$7$") || input.has(":$6$") || input.has(":$argon2id$") {
        passwords(input, found);
    }
    if found.is_empty() && input.has("remote_password") && input.has("connection") {
        bridges(input, found);
    }
    if found.is_empty()
        && matches!(
            input.name,
            "mosquitto_pub" | "mosquitto_sub" | "mosquitto_rr"
        )
    {
        client(input, found);
    }
    if found.is_empty() && input.has("mqtt:") && input.has("password:") {
        section(input, found);
    }
}

/// A password file: `USER:$7$ITERATIONS$SALT$HASH` and nothing else. Other programs have users and hashes
/// too; their hashes are no base64, or of another length.
fn passwords(input: Input<'_>, found: &mut Vec<Credential>) {
    let lines = input.text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut all = Vec::new();
    for line in lines {
        let Some((user, hash)) = line.split_once(':') else {
            return;
        };
        if user.is_empty() || user.contains(char::is_whitespace) || !is_hash(hash) {
            return;
        }
        let name = input.key.hmac("mqtt", hash.as_bytes());
        let one = Found::new(CredentialKind::MqttPassword, name);
        all.push(one.label(&format!("MQTT user {user}")).done());
    }
    found.append(&mut all);
}

fn is_hash(text: &str) -> bool {
    let is = |digits: &str| decode_base64(digits.as_bytes()).is_some();
    // With its padding: crypt(3) has hashes of as many digits as there are without.
    let is_sha512 = |digits: &str| {
        let plain = decode_base64(digits.as_bytes());
        digits.ends_with("==") && plain.is_some_and(|plain| plain.len() == SHA512)
    };
    let parts: Vec<_> = text.split('$').collect();
    match &*parts {
        ["", "7", iterations, salt, hash] => {
            iterations.parse::<u32>().is_ok() && is(salt) && is_sha512(hash)
        }
        ["", "6", salt, hash] => is(salt) && is_sha512(hash),
        ["", "argon2id", version, settings, salt, hash] => {
            let is_form = version.starts_with("v=") && settings.starts_with("m=");
            is_form && is(salt) && is(hash)
        }
        _ => false,
    }
}

/// `mosquitto.conf`: a bridge logs in to another broker.
fn bridges(input: Input<'_>, found: &mut Vec<Credential>) {
    let (mut bridge, mut user) = ("", "");
    for line in input.text.lines() {
        let Some((key, value)) = line.trim().split_once(char::is_whitespace) else {
            continue;
        };
        let value = value.trim();
        match key {
            "connection" => (bridge, user) = (value, ""),
            "remote_username" => user = value,
            "remote_password" if !is_placeholder(value) => {
                found.push(login(input, user, value, &format!("MQTT bridge {bridge}")));
            }
            _ => {}
        }
    }
}

/// What `mosquitto_pub` and its like read before their arguments: an option a line.
fn client(input: Input<'_>, found: &mut Vec<Credential>) {
    let options = || {
        let lines = input.text.lines();
        lines.filter_map(|line| line.trim().split_once(char::is_whitespace))
    };
    let of = |names: [&str; 2]| {
        let mut all = options();
        let found = all.find(|(key, _)| names.contains(key));
        found.map_or("", |(_, value)| value.trim())
    };
    let (user, password) = (of(["-u", "--username"]), of(["-P", "--pw"]));
    if !is_placeholder(password) {
        let host = of(["-h", "--host"]);
        found.push(login(
            input,
            user,
            password,
            &format!("MQTT client of {host}"),
        ));
    }
}

/// The section `mqtt:` of what brings other networks to MQTT: zigbee2mqtt, ESPHome, Frigate.
fn section(input: Input<'_>, found: &mut Vec<Credential>) {
    let (mut inside, mut user, mut server, mut password) = (false, "", "", "");
    for line in yaml(input.text) {
        if line.indent == 0 {
            inside = line.key == "mqtt";
            continue;
        }
        if !inside {
            continue;
        }
        match line.key {
            "user" | "username" => user = line.value,
            "server" | "broker" | "host" => server = line.value,
            "password" => password = line.value,
            _ => {}
        }
    }
    // `!secret NAME` names one that lies elsewhere.
    if !server.is_empty() && !is_placeholder(password) && !password.starts_with('!') {
        found.push(login(
            input,
            user,
            password,
            &format!("MQTT client of {server}"),
        ));
    }
}

fn login(input: Input<'_>, user: &str, password: &str, label: &str) -> Credential {
    let name = input.key.login(user.as_bytes(), password.as_bytes());
    Found::new(CredentialKind::MqttPassword, name)
        .label(label)
        .done()
}
