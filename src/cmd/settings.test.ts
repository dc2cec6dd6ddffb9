import { expect, test } from 'vitest';
import { readSettings, settingsDocument, settingsTable } from './settings.ts';

test('every setting has its default in an empty environment', () => {
  const settings: Record<string, unknown> = { ...readSettings({}) };
  for (const [name, s] of Object.entries(settingsTable)) expect(settings[name]).toBe(s.default);
});

test('variables are read by their kind', () => {
  const settings = readSettings({ KGW_XDS_SERVICE_PORT: '1234', KGW_XDS_TLS: 'false', KGW_LOG_LEVEL: 'debug' });
  expect(settings).toMatchObject({ xdsServicePort: 1234, xdsTls: false, logLevel: 'debug' });
});

test.each([
  [{ KGW_XDS_SERVICE_PORT: 'http' }, 'KGW_XDS_SERVICE_PORT=http is not a port number'],
  [{ KGW_XDS_SERVICE_PORT: '70000' }, 'KGW_XDS_SERVICE_PORT=70000 is not a port number'],
  [{ KGW_XDS_TLS: 'yes' }, 'KGW_XDS_TLS=yes is neither true nor false'],
])('%j is refused by name', (environment, message) => {
  expect(() => readSettings(environment)).toThrow(message);
});

test('the document lists every variable', () => {
  for (const { variable } of Object.values(settingsTable)) expect(settingsDocument()).toContain(`\`${variable}\``);
});
