//! How many streams each address has.

use alloc::sync::Arc;
use core::net::IpAddr;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::refusal::Refusal;

/// The streams of each address that has any: at most as many entries as there are subscribers.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Addresses {
    /// Counts one more stream of `address`, unless it has `limit` already.
    pub(super) fn enter(&self, address: IpAddr, limit: usize) -> Result<AddressGuard, Refusal> {
        let address = counted(address);
        let mut counts = self.counts();
        let count = counts.entry(address).or_insert(0);
        // At least one: a refusal at 0 would leave an entry that nobody removes.
        if *count >= limit.max(1) {
            return Err(Refusal::TooManyStreamsOfAddress { limit });
        }
        *count += 1;
        drop(counts);

        Ok(AddressGuard {
            addresses: self.clone(),
            address,
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that is counted for its address until this is dropped.
#[derive(Debug)]
pub(super) struct AddressGuard {
    addresses: Addresses,
    address: IpAddr,
}

impl Drop for AddressGuard {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.addresses.counts().entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Returns the key under which streams of `address` are counted: the address itself over IPv4, its
/// /64 network over IPv6, because a single client usually has all addresses of one.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_as_many_streams_as_are_open_and_no_entry_without_any() {
        let addresses = Addresses::default();
        let enter = |address: &str| addresses.enter(address.parse().expect("an address"), 2);
        let refused = Refusal::TooManyStreamsOfAddress { limit: 2 };

        let first = enter("192.0.2.1").expect("room");
        let _second = enter("::ffff:192.0.2.1").expect("the same address has room");
        assert_eq!(enter("192.0.2.1").err(), Some(refused));
        let other = enter("192.0.2.2").expect("another address");
        drop(first);
        let _third = enter("192.0.2.1").expect("room again");

        drop(other);
        assert_eq!(addresses.counts().len(), 1);
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        let addresses = Addresses::default();
        let enter = |address: &str| addresses.enter(address.parse().expect("an address"), 1);
        let _one = enter("2001:db8:0:1::1").expect("room");
        assert!(enter("2001:db8:0:1:ffff:ffff:ffff:ffff").is_err());
        let _other = enter("2001:db8:0:2::1").expect("another network");
    }
}
