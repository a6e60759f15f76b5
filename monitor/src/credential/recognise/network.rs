//! Keys of networks: WireGuard's and OpenVPN's, and those of wireless ones, as gateways and devices keep
//! them.

use super::pem::decode_base64;
use super::text::{ini, is_placeholder, unquote};
use super::{Found, Input};
use crate::model::{Credential, CredentialKind};

/// Bytes of a Curve25519 key.
const WIREGUARD: usize = 32;
/// Bytes of OpenVPN's static key.
const OPENVPN: usize = 256;
const OPENVPN_BEGIN: &str = "-----BEGIN OpenVPN Static key V1-----";
const OPENVPN_END: &str = "-----END OpenVPN Static key V1-----";

/// Files of these formats.
pub(super) fn recognise(input: Input<'_>, found: &mut Vec<Credential>) {
    if input.has("PrivateKey") && input.has("[Interface]") || input.has("[WireGuard]") {
        wireguard(input, found);
    } else if input.has("network={") {
        supplicant(input, found);
    } else if input.has("[connection]") {
        network_manager(input, found);
    } else if input.has("wpa_passphrase=") || input.has("wpa_psk=") {
        access_point(input, found);
    } else if input.has("[Security]") {
        iwd(input, found);
    } else if input.has("config wifi-iface") {
        openwrt(input, found);
    }
}

/// The static key of OpenVPN (`tls-crypt`, `tls-auth`, `secret`), in a file of its own or within a
/// configuration: it looks like PEM, and its body is hexadecimal.
pub(super) fn recognise_anywhere(input: Input<'_>, found: &mut Vec<Credential>) {
    let Some((_, rest)) = input.text.split_once(OPENVPN_BEGIN) else {
        return;
    };
    let Some((key, _)) = rest.split_once(OPENVPN_END) else {
        return;
    };
    let key = key.trim();
    let digits = key.bytes().filter(u8::is_ascii_hexdigit).count();
    let is_hex = |byte: u8| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace();
    if digits == 2 * OPENVPN && key.bytes().all(is_hex) {
        let name = input.key.value(key.as_bytes());
        let label = format!("OpenVPN static key, {}", input.name);
        let one = Found::new(CredentialKind::VpnKey, name);
        found.push(one.label(&label).done());
    }
}

/// `wg0.conf` (wg(8)), and `.netdev` files of systemd (systemd.netdev(5)).
fn wireguard(input: Input<'_>, found: &mut Vec<Credential>) {
    for setting in ini(input.text) {
        let in_place = matches!(setting.section, "Interface" | "WireGuard");
        if in_place && setting.key == "PrivateKey" && is_wireguard(setting.value) {
            found.push(vpn(input, setting.value, "WireGuard"));
        }
    }
}

fn is_wireguard(key: &str) -> bool {
    decode_base64(key.as_bytes()).is_some_and(|key| key.len() == WIREGUARD)
}

fn vpn(input: Input<'_>, secret: &str, of: &str) -> Credential {
    let name = input.key.value(secret.as_bytes());
    Found::new(CredentialKind::VpnKey, name)
        .label(&format!("{of}, {}", input.name))
        .done()
}

/// `wpa_supplicant.conf`: a block a network; a passphrase in quotes, or 64 digits of the key itself.
fn supplicant(input: Input<'_>, found: &mut Vec<Credential>) {
    let mut network = "";
    for setting in ini(input.text) {
        match setting.key {
            "ssid" => network = setting.value,
            "psk" | "password" | "sae_password" if !is_placeholder(setting.value) => {
                found.push(wireless(input, network, setting.value));
            }
            _ => {}
        }
    }
}

/// NetworkManager's keyfiles. One that asks an agent holds none.
fn network_manager(input: Input<'_>, found: &mut Vec<Credential>) {
    let mut network = "";
    for setting in ini(input.text) {
        match (setting.section, setting.key) {
            ("wifi", "ssid") => network = setting.value,
            ("wifi-security", "psk" | "wep-key0" | "leap-password") | ("802-1x", "password")
                if !is_placeholder(setting.value) =>
            {
                found.push(wireless(input, network, setting.value));
            }
            ("wireguard", "private-key") if is_wireguard(setting.value) => {
                found.push(vpn(input, setting.value, "WireGuard"));
            }
            ("vpn-secrets", _) if !is_placeholder(setting.value) => {
                found.push(vpn(input, setting.value, "VPN"));
            }
            _ => {}
        }
    }
}

/// `hostapd.conf`.
fn access_point(input: Input<'_>, found: &mut Vec<Credential>) {
    let mut network = "";
    for setting in ini(input.text) {
        match setting.key {
            "ssid" => network = setting.value,
            "wpa_passphrase" | "wpa_psk" | "sae_password" if !is_placeholder(setting.value) => {
                found.push(wireless(input, network, setting.value));
            }
            _ => {}
        }
    }
}

/// A network that iwd knows: its name is the file's (iwd.network(5)).
fn iwd(input: Input<'_>, found: &mut Vec<Credential>) {
    let Some((network, "psk" | "8021x")) = input.name.rsplit_once('.') else {
        return;
    };
    for setting in ini(input.text) {
        let is_secret = matches!(setting.key, "Passphrase" | "PreSharedKey" | "EAP-Password");
        if setting.section == "Security" && is_secret && !is_placeholder(setting.value) {
            found.push(wireless(input, network, setting.value));
            // The key is made from the passphrase.
            return;
        }
    }
}

/// `/etc/config/wireless` of OpenWrt: `option NAME 'VALUE'`.
fn openwrt(input: Input<'_>, found: &mut Vec<Credential>) {
    let mut network = "";
    for line in input.text.lines() {
        let line = line.trim();
        if line.starts_with("config ") {
            network = "";
        }
        let option = line.strip_prefix("option ");
        let Some((key, value)) = option.and_then(|of| of.split_once(char::is_whitespace)) else {
            continue;
        };
        let value = unquote(value.trim());
        match key {
            "ssid" => network = value,
            "key" if !is_placeholder(value) => found.push(wireless(input, network, value)),
            _ => {}
        }
    }
}

fn wireless(input: Input<'_>, network: &str, secret: &str) -> Credential {
    Found::new(
        CredentialKind::WifiPassword,
        input.key.value(secret.as_bytes()),
    )
    .label(&format!("network {network}"))
    .done()
}
