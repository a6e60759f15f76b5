//! The public half of a private key in DER, and the names that it has.
//!
//! PKCS#8 (RFC 5208, 5958), PKCS#1 (RFC 8017) and SEC1 (RFC 5915) are read in place. Where the
//! file leaves the public half out, it is computed for Ed25519, P-256 and P-384; for other keys
//! the caller falls back to an HMAC.

use p256::elliptic_curve::sec1::ToEncodedPoint;
use pkcs1::{RsaPublicKey, UintRef};
use pkcs8::der::asn1::{AnyRef, BitStringRef, Null, OctetStringRef};
use pkcs8::der::{Decode, Encode};
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use pkcs8::{ObjectIdentifier, PrivateKeyInfo};
use sec1::EcPrivateKey;
use ssh_key::HashAlg;
use ssh_key::public::{EcdsaPublicKey, Ed25519PublicKey, KeyData};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// The public half of a key.
pub(super) struct Public {
    /// SubjectPublicKeyInfo in DER.
    pub(super) spki: Vec<u8>,
    /// `SHA256:…`, for keys that SSH knows.
    pub(super) ssh: Option<String>,
    /// What a person calls the algorithm: `RSA 3072`.
    pub(super) algorithm: String,
}

/// What a PKCS#8 structure holds; `None` when it is none.
pub(super) fn pkcs8(der: &[u8]) -> Option<Option<Public>> {
    let info = PrivateKeyInfo::try_from(der).ok()?;
    let algorithm = info.algorithm;
    Some(match algorithm.oid {
        RSA => return pkcs1(info.private_key),
        EC => {
            let curve = algorithm.parameters_oid().ok();
            return sec1_on(info.private_key, curve);
        }
        ED25519 => ed25519(&info),
        // X25519, Ed448, DSA and the like: only version 2 says the public half.
        _ => info.public_key.and_then(|public| {
            Some(Public {
                spki: encode(algorithm, public)?,
                ssh: None,
                algorithm: algorithm.oid.to_string(),
            })
        }),
    })
}

/// What a PKCS#1 structure holds; `None` when it is none.
pub(super) fn pkcs1(der: &[u8]) -> Option<Option<Public>> {
    let key = pkcs1::RsaPrivateKey::from_der(der).ok()?;
    let public = key.public_key();
    let bits = key.modulus.as_bytes().len() * 8;
    Some(rsa(&public, bits))
}

/// What a SEC1 structure holds; `None` when it is none.
pub(super) fn sec1(der: &[u8]) -> Option<Option<Public>> {
    sec1_on(der, None)
}

/// The public half of an RSA key that is told by its numbers, the highest byte first.
pub(super) fn rsa_by_numbers(modulus: &[u8], exponent: &[u8]) -> Option<Public> {
    let public = RsaPublicKey {
        modulus: UintRef::new(modulus).ok()?,
        public_exponent: UintRef::new(exponent).ok()?,
    };
    rsa(&public, public.modulus.as_bytes().len() * 8)
}

fn rsa(public: &RsaPublicKey<'_>, bits: usize) -> Option<Public> {
    let algorithm = AlgorithmIdentifierRef {
        oid: RSA,
        parameters: Some(AnyRef::from(Null)),
    };
    let mpint = |bytes| ssh_key::Mpint::from_positive_bytes(bytes).ok();
    let ssh = mpint(public.public_exponent.as_bytes())
        .zip(mpint(public.modulus.as_bytes()))
        .map(|(e, n)| ssh_name(KeyData::Rsa(ssh_key::public::RsaPublicKey { e, n })));
    Some(Public {
        spki: encode(algorithm, &public.to_der().ok()?)?,
        ssh,
        algorithm: format!("RSA {bits}"),
    })
}

fn sec1_on(der: &[u8], curve: Option<ObjectIdentifier>) -> Option<Option<Public>> {
    let key = EcPrivateKey::from_der(der).ok()?;
    let curve = curve.or_else(|| key.parameters.and_then(|p| p.named_curve()));
    let Some(curve) = curve else {
        return Some(None);
    };
    let computed: Option<Vec<u8>> = match (key.public_key, curve) {
        (Some(_), _) => None,
        (None, P256) => p256::SecretKey::from_slice(key.private_key)
            .ok()
            .map(|key| key.public_key().to_encoded_point(false).as_bytes().to_vec()),
        (None, P384) => p384::SecretKey::from_slice(key.private_key)
            .ok()
            .map(|key| key.public_key().to_encoded_point(false).as_bytes().to_vec()),
        (None, _) => None,
    };
    let Some(point) = key.public_key.or(computed.as_deref()) else {
        return Some(None);
    };
    let algorithm = AlgorithmIdentifierRef {
        oid: EC,
        parameters: Some(AnyRef::from(&curve)),
    };
    Some(encode(algorithm, point).map(|spki| {
        Public {
            spki,
            ssh: EcdsaPublicKey::from_sec1_bytes(point)
                .ok()
                .map(|key| ssh_name(KeyData::Ecdsa(key))),
            algorithm: match curve {
                P256 => "EC P-256".to_owned(),
                P384 => "EC P-384".to_owned(),
                other => format!("EC {other}"),
            },
        }
    }))
}

fn ed25519(info: &PrivateKeyInfo<'_>) -> Option<Public> {
    // The seed is an octet string within the octet string (RFC 8410, section 7).
    let seed = OctetStringRef::from_der(info.private_key).ok()?;
    let key = ed25519_dalek::SigningKey::try_from(seed.as_bytes()).ok()?;
    let public = key.verifying_key().to_bytes();
    Some(Public {
        spki: encode(info.algorithm, &public)?,
        ssh: Some(ssh_name(KeyData::Ed25519(Ed25519PublicKey(public)))),
        algorithm: "Ed25519".to_owned(),
    })
}

fn ssh_name(key: KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn encode(algorithm: AlgorithmIdentifierRef<'_>, public: &[u8]) -> Option<Vec<u8>> {
    SubjectPublicKeyInfoRef {
        algorithm,
        subject_public_key: BitStringRef::from_bytes(public).ok()?,
    }
    .to_der()
    .ok()
}
