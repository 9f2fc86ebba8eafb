/** A device's id is a level of MQTT topics, a user name and a file's name: short, and nothing that any of them reads. */
export const DEVICE_ID = /^(?!all$)[a-z0-9][a-z0-9-]{1,62}[a-z0-9]$/
