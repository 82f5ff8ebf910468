//! The only place that asks for randomness: ids, secrets, the pepper, the admin token.

use std::cell::RefCell;

/// What a thread asks the operating system for at once, for ids.
const POOL_BYTES: usize = 1024;

thread_local! {
    /// What is left of it.
    static POOL: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// `N` random bytes from the operating system.
///
/// # Errors
/// When the operating system has no randomness to give.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks for randomness")]
pub fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes)
}

/// The same for an id, of which each request has one: the operating system is asked for many at once. Not for secrets, which
/// must not lie in memory before they are needed.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn random_for_id<const N: usize>() -> std::io::Result<[u8; N]> {
    POOL.with_borrow_mut(|pool| {
        if pool.len() < N {
            pool.clear();
            pool.extend(random::<POOL_BYTES>()?);
        }
        match pool.split_last_chunk().map(|(rest, last)| (rest.len(), *last)) {
            Some((left, last)) => {
                pool.truncate(left);
                Ok(last)
            }
            None => random(),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_id_comes_twice_however_often_the_pool_is_filled() {
        let ids: HashSet<[u8; 10]> = (0..1000).map(|_| random_for_id().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        // Larger than the pool.
        let large: [u8; 2 * POOL_BYTES] = random_for_id().unwrap();
        assert!(large.iter().any(|byte| *byte != 0));
    }
}
