//! Which devices staff may keep passkeys on: those whose maker vouches for them (Web Authentication
//! Level 3, section 6.5).

use portcullis_store::accounts::Account;
use uuid::Uuid;
use webauthn_rs::prelude::{AttestationCaList, AttestationCaListBuilder};

/// Whoever has one of these roles is staff.
const STAFF_ROLE: &str = "admin";

/// The devices that staff may use.
#[derive(Debug, Clone)]
pub struct StaffDevices(AttestationCaList);

/// The authorities or models cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StaffDevicesError {
    /// Not certificates.
    #[error("the authorities are not certificates in PEM")]
    Authorities,
    /// Not a model.
    #[error("a model is an AAGUID such as 2fc0579f-8113-47ea-b116-bb5a8db9202a")]
    Model,
    /// Nothing is allowed.
    #[error("authorities and models must both be given")]
    Empty,
}

impl StaffDevices {
    /// Devices of these models (AAGUIDs), which one of these authorities (PEM) vouches for.
    pub fn new(authorities_pem: &str, models: &[String]) -> Result<Self, StaffDevicesError> {
        const END: &str = "-----END CERTIFICATE-----";
        let models: Result<Vec<Uuid>, _> = models.iter().map(|model| model.parse()).collect();
        let models = models.map_err(|_| StaffDevicesError::Model)?;
        let mut list = AttestationCaListBuilder::new();
        let mut count = 0;
        for pem in authorities_pem.split_inclusive(END).filter(|pem| pem.contains(END)) {
            for model in &models {
                let (name, others) = (model.to_string(), Default::default());
                list.insert_device_pem(pem.trim().as_bytes(), *model, name, others)
                    .map_err(|_| StaffDevicesError::Authorities)?;
                count += 1;
            }
        }
        if count == 0 { Err(StaffDevicesError::Empty) } else { Ok(Self(list.build())) }
    }

    pub(crate) fn list(&self) -> AttestationCaList {
        self.0.clone()
    }
}

/// Whether the devices of an account must be vouched for, if anybody's must.
pub(crate) fn is_staff(account: &Account) -> bool {
    account.has_role(STAFF_ROLE)
}
