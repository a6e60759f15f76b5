//! Keys of networks: WireGuard's, and those of wireless ones, as gateways and devices keep them.

use super::pem::decode_base64;
use super::text::{ini, is_placeholder};
use super::{Found, Input};
use crate::model::{Credential, CredentialKind};

/// Bytes of a Curve25519 key.
const WIREGUARD: usize = 32;

/// Files of these formats.
pub(super) fn recognise(input: Input<'_>, found: &mut Vec<Credential>) {
    if input.has("PrivateKey") && input.has("[Interface]") || input.has("[WireGuard]") {
        wireguard(input, found);
    } else if input.has("network={") {
        supplicant(input, found);
    } else if input.has("[wifi-security]") {
        network_manager(input, found);
    }
}

/// `wg0.conf` (wg(8)), and `.netdev` files of systemd (systemd.netdev(5)).
fn wireguard(input: Input<'_>, found: &mut Vec<Credential>) {
    for setting in ini(input.text) {
        let in_place = matches!(setting.section, "Interface" | "WireGuard");
        if in_place
            && setting.key == "PrivateKey"
            && decode_base64(setting.value.as_bytes()).is_some_and(|key| key.len() == WIREGUARD)
        {
            let name = input.key.value(setting.value.as_bytes());
            let label = format!("WireGuard, {}", input.name);
            found.push(
                Found::new(CredentialKind::VpnKey, name)
                    .label(&label)
                    .done(),
            );
        }
    }
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
            ("wifi-security", "psk" | "wep-key0") if !is_placeholder(setting.value) => {
                found.push(wireless(input, network, setting.value));
            }
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
