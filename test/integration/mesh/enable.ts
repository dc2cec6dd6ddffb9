import { enable } from '../enable.ts';

/** Installs the chart as it is, with waypoints. */
export const enableWaypoints = (): Promise<void> => enable('waypoint.enabled');
