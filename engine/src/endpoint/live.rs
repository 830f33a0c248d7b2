//! Settings that change while connections live, as `sysctl -w` does it in the kernel.

use super::Endpoint;
use crate::config::EndpointConfig;
use crate::settings::{Reach, Setting, SettingError, Settings};

impl Endpoint {
    /// Settings of the endpoint as a whole.
    #[must_use]
    pub const fn config(&self) -> &EndpointConfig {
        &self.config
    }

    /// Changes a setting of the endpoint, of its listeners and, where [`Setting::reach`] says so, of the connections
    /// there are. What the application gives to `connect` is its own.
    ///
    /// # Errors
    ///
    /// See [`SettingError`]; nothing has changed then.
    pub fn change_setting<'a>(
        &mut self,
        setting: &'static Setting,
        value: &'a str,
    ) -> Result<(), SettingError<'a>> {
        if setting.reach == Reach::Start {
            return Err(SettingError::AtStart(setting));
        }
        let mut settings = Settings { endpoint: self.config.clone(), ..Settings::default() };
        setting.set(&mut settings, value)?;
        self.set_blackhole_timeout(settings.endpoint.blackhole_timeout);
        self.config.implicit_endpoints = settings.endpoint.implicit_endpoints;
        for config in self.listeners.configs() {
            setting.set_connection(config, value)?;
        }
        if setting.reach == Reach::Living {
            for entry in self.connections.values_mut() {
                setting.set_connection(&mut entry.connection.config, value)?;
            }
        }
        Ok(())
    }
}
