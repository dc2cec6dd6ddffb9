/** Version of the controller; the bundle has the release's in it. */
export const version: string = process.env.KGATEWAY_VERSION ?? '0.0.0-dev';
